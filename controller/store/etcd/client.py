"""A client of etcd, version 3: one member at a time, another one at the first loss.

gRPC's own balancing goes on sending to a member that hangs, so each member has a channel of its own. Only reads are
repeated here: whether a write whose answer was lost was applied is for the caller to find out.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import NamedTuple, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from controller.core.model.store_errors import NotWritten, StoreLost
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.answers import Compacted, Lost, Rejected, Seen, loss_of, needs_login, refusal_of
from controller.store.etcd.channels import Channels, ReadTls
from controller.store.etcd.keys import as_bytes, as_text
from controller.store.etcd.login import Login, Metadata, User

__all__ = ["ATTEMPT", "PATIENCE", "Compacted", "EtcdClient", "Everything", "Lost", "prefix_end"]

ATTEMPT = 1.5
"""Seconds for one answer of one member."""
PATIENCE = 5.0
"""Seconds in which a read is tried at one member after the other, and what became of a write is looked for. Less than a
client's deadline of 10 s."""
PAGE = 500
"""Keys that are read at once."""
ASK_PROGRESS = 0.5
"""Seconds between two questions whether a watch still lives."""
SILENCE = 2.5
"""Seconds without any answer after which a watch is lost: its member hangs, or the way to it."""

_NEEDS_LEADER = (("hasleader", "true"),)
"""Metadata of streams: a member that has lost the quorum ends them, and does not keep them open, silent."""

log = structlog.get_logger()

Response = TypeVar("Response", bound=Message)
Stream = grpc.aio.StreamStreamCall[Message, Message]


class Everything(NamedTuple):
    """Keys and values, and the revision of etcd at which all of them were read."""

    kvs: list[pb.KeyValue]
    at: int


class EtcdClient:
    """Calls to a cluster. Must be made in a running event loop.

    A call that etcd refuses raises `NotWritten` (`Rejected`, `TooLarge`, `DiskFull`): surely not done. Any other error,
    and an answer that is older than one before, is `Lost`: a write was perhaps done.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: ReadTls | None = None,
        user: User | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """`endpoints` are HOST:PORT of the members; with `tls` all speak TLS. `Refusal` if a file cannot be read."""
        self.patience = patience
        self._channels = Channels(endpoints, tls)
        self._user = user
        self._login = Login(self._authenticate) if user else None
        self._current = 0
        self._faults: dict[int, str] = {}
        """Why each member gave no answer the last time that it was asked."""
        self._seen = Seen()

    async def close(self) -> None:
        """Close every connection."""
        await self._channels.close()

    @property
    def outage(self) -> Lost:
        """That no member answers, with what is wrong with each that was asked."""
        members = enumerate(self._channels.endpoints)
        faults = [f"{endpoint}: {self._faults[member]}" for member, endpoint in members if member in self._faults]
        return Lost(f"etcd does not answer ({'; '.join(faults)})" if faults else "etcd does not answer")

    async def range(
        self, key: str, end: str = "", *, limit: int = 0, keys_only: bool = False, revision: int = 0
    ) -> pb.RangeResponse:
        """The keys from `key` to before `end`, or `key` alone, as the quorum has them, or had at that revision. `Lost`
        after `patience`."""
        request = pb.RangeRequest(
            key=as_bytes(key), range_end=as_bytes(end), limit=limit, keys_only=keys_only, revision=revision
        )
        return await self._read("KV/Range", request, pb.RangeResponse)

    async def snapshot(self, keys: Sequence[str]) -> list[pb.KeyValue | None]:
        """What these keys hold at one revision; None for one that is not there. `Lost` after `patience`."""
        ranges = [pb.RequestOp(request_range=pb.RangeRequest(key=key.encode())) for key in keys]
        response = await self._read("KV/Txn", pb.TxnRequest(success=ranges), pb.TxnResponse)
        found = (each.response_range.kvs for each in response.responses)
        return [kvs[0] if kvs else None for kvs in found]

    async def everything(self, prefix: str) -> Everything:
        """All keys with that prefix at one revision. `Lost` without an answer."""
        found = await self.range(prefix, prefix_end(prefix), limit=PAGE)
        kvs, at = list(found.kvs), found.header.revision
        while found.more:
            after = as_text(kvs[-1].key) + "\0"
            found = await self.range(after, prefix_end(prefix), limit=PAGE, revision=at)
            kvs += found.kvs
        return Everything(kvs, at)

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Do a transaction. `Lost`: perhaps it was done. `NotWritten` if etcd refuses it as it stands."""
        return await self._call("KV/Txn", request, pb.TxnResponse)

    async def put(self, key: str, value: bytes, *, lease: int = 0) -> None:
        """Store a value, which ends with the lease if one is named. `Lost`: perhaps it was."""
        await self._call("KV/Put", pb.PutRequest(key=as_bytes(key), value=value, lease=lease), pb.PutResponse)

    async def delete(self, key: str, end: str = "") -> None:
        """Delete a key, or all before `end`. `Lost`: perhaps it was done."""
        await self._call(
            "KV/DeleteRange",
            pb.DeleteRangeRequest(key=as_bytes(key), range_end=as_bytes(end)),
            pb.DeleteRangeResponse,
        )

    async def grant_lease(self, seconds: int) -> int:
        """A new lease, which ends so many seconds after it was last renewed."""
        response = await self._call("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=seconds), pb.LeaseGrantResponse)
        return response.ID

    async def revoke_lease(self, lease: int) -> None:
        """End a lease, and delete what was stored under it. One that has ended is no error."""
        with contextlib.suppress(Rejected):
            await self._call("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), pb.LeaseRevokeResponse)

    async def renew_lease(self, lease: int, *, within: float = ATTEMPT) -> bool:
        """Renew a lease once. False if it has ended; `Lost` without an answer in that time."""
        member, metadata = self._current, await self._metadata()
        call = self._stream(member, "Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse, metadata)
        with self._losing(member, metadata):
            try:
                async with asyncio.timeout(within):
                    await call.write(pb.LeaseKeepAliveRequest(ID=lease))
                    response = await call.read()
            finally:
                call.cancel()
        if not isinstance(response, pb.LeaseKeepAliveResponse):  # the end of the stream
            raise self._lost(member, "it ended the stream")
        self._check(member, response.header)
        return bool(response.TTL > 0)

    async def watch(self, prefix: str, start: int) -> AsyncGenerator[pb.WatchResponse, None]:
        """What happens to the keys with that prefix, from that revision on; answers without events tell that the watch
        lives. `Compacted` if that revision is no longer kept; `Lost` ends it, also after `SILENCE`."""
        member, metadata = self._current, await self._metadata()
        call = self._stream(member, "Watch/Watch", pb.WatchResponse, metadata)
        create = pb.WatchCreateRequest(key=prefix.encode(), range_end=prefix_end(prefix).encode(), start_revision=start)
        asking = asyncio.create_task(_ask_for_progress(call, create))
        try:
            while (response := await self._next(call, member, metadata)) is not None:
                if response.compact_revision:
                    raise Compacted
                if response.canceled:
                    self._expire(metadata)  # 3.4 does not tell a token that has run out from a right that is missing
                    raise Lost(f"the watch was cancelled: {response.cancel_reason}")
                self._check(member, response.header)
                yield response
        finally:
            asking.cancel()
            call.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        raise self._lost(member, "it ended the watch")

    async def _next(self, call: Stream, member: int, metadata: Metadata) -> pb.WatchResponse | None:
        """The next response; None at the end of the stream."""
        with self._losing(member, metadata):
            async with asyncio.timeout(SILENCE):
                response = await call.read()
        return response if isinstance(response, pb.WatchResponse) else None

    async def _read(self, method: str, request: Message, response: type[Response]) -> Response:
        """Ask one member after the other."""
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    for _ in range(len(self._channels)):
                        try:
                            return await self._call(method, request, response)
                        except Lost:
                            continue
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise self.outage from None

    async def _call(self, method: str, request: Message, response: type[Response]) -> Response:
        member, floor = self._current, max(1, self._seen.revision) if method.startswith("KV/") else 0
        metadata = await self._metadata()
        try:
            answer = await self._unary(member, method, request, response, metadata)
        except grpc.aio.AioRpcError as error:
            if not self._login or not needs_login(error):
                raise self._failure(member, error) from error
            # Nothing was done: the token has run out, or the member was started again and knows it no longer.
            self._expire(metadata)
            with self._losing(member, metadata):
                answer = await self._unary(member, method, request, response, await self._metadata())
        self._check(member, answer.header, floor)  # type: ignore[attr-defined]  # every response has one
        return answer

    async def _metadata(self) -> Metadata:
        return await self._login.metadata() if self._login else ()

    def _expire(self, metadata: Metadata) -> None:
        if self._login:
            self._login.expired(metadata)

    async def _authenticate(self) -> str:
        """A new token; empty while etcd has no access control."""
        assert self._user
        try:
            request = pb.AuthenticateRequest(name=self._user.name, password=self._user.password())
        except OSError as error:
            raise Rejected(f"etcd.password_file cannot be read: {error.strerror}") from error
        member = self._current
        try:
            answer = await self._unary(member, "Auth/Authenticate", request, pb.AuthenticateResponse, ())
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:  # it is perhaps turned on later
                log.warning("etcd_without_access_control", user=self._user.name)
                return ""
            raise self._failure(member, error) from error
        return answer.token

    async def _unary(
        self, member: int, method: str, request: Message, response: type[Response], metadata: Metadata
    ) -> Response:
        call = self._channels[member].unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        answer: Response = await call(request, timeout=ATTEMPT, metadata=metadata)
        return answer

    def _stream(self, member: int, method: str, response: type[Message], metadata: Metadata) -> Stream:
        stream = self._channels[member].stream_stream(
            f"/etcdserverpb.{method}",
            request_serializer=_serialize,
            response_deserializer=response.FromString,
        )
        return stream(None, metadata=(*metadata, *_NEEDS_LEADER))

    def _check(self, member: int, header: pb.ResponseHeader, floor: int = 0) -> None:
        if fault := self._seen.fault(header, floor):
            raise self._lost(member, fault)
        self._faults.pop(member, None)

    @contextlib.contextmanager
    def _losing(self, member: int, metadata: Metadata) -> Iterator[None]:
        """What goes wrong with a member, as `NotWritten` or `Lost`."""
        try:
            yield
        except TimeoutError as error:
            raise self._lost(member, "no answer in time") from error
        except grpc.aio.AioRpcError as error:
            if needs_login(error):
                self._expire(metadata)
            raise self._failure(member, error) from error

    def _failure(self, member: int, error: grpc.aio.AioRpcError) -> StoreLost:
        refusal: NotWritten | None = refusal_of(error)
        return refusal or self._lost(member, loss_of(error, ATTEMPT))

    def _lost(self, member: int, why: str) -> Lost:
        """That member is not to be relied on: the next call goes to another one."""
        if member == self._current:
            self._current = (member + 1) % len(self._channels)
        self._channels.lost()
        self._faults[member] = why
        return Lost(f"etcd ({self._channels.endpoints[member]}): {why}")


async def _ask_for_progress(call: Stream, create: pb.WatchCreateRequest) -> None:
    """Begin the watch, and ask again and again whether it lives, until cancelled."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the reader sees the end too
        await call.write(pb.WatchRequest(create_request=create))
        while True:
            await asyncio.sleep(ASK_PROGRESS)
            await call.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))


def prefix_end(prefix: str) -> str:
    """The end of the range of all keys with that prefix, which is ASCII and does not end in the last letter of it."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
