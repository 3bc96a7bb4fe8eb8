"""A client of etcd, version 3: one member at a time, another one at the first loss.

gRPC's own balancing goes on sending to a member that hangs, so each member has a channel of its own. Only reads are
repeated here: whether a write whose answer was lost was applied is for the caller to find out.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from controller.core.model.store_errors import StoreLost
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb

ATTEMPT = 1.5
"""Seconds for one answer of one member."""
PATIENCE = 5.0
"""Seconds in which a read is tried at one member after the other. Less than a client's deadline of 10 s."""
MAX_RESPONSE = 256 * 1024 * 1024
"""Bytes of an answer: everything that is stored, with thousands of services."""

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_RESPONSE),
    ("grpc.max_send_message_length", 16 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 5000),  # etcd ends the connection of a client that pings more often
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_NEEDS_LEADER = (("hasleader", "true"),)
"""Metadata of streams: a member that has lost the quorum ends them, and does not keep them open, silent."""

Response = TypeVar("Response", bound=Message)


class Lost(StoreLost):
    """No answer, or one that cannot be relied on. A write was perhaps applied."""


class Compacted(Exception):  # noqa: N818
    """The revision to watch from is no longer kept: read everything again."""


class User(NamedTuple):
    """A user of etcd's own access control."""

    name: str
    password: str


class EtcdClient:
    """Calls to a cluster. Must be made in a running event loop.

    An answer of an older raft term than one seen before, which a member that was cut off may give, counts as lost.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        credentials: grpc.ChannelCredentials | None = None,
        user: User | None = None,
    ) -> None:
        """`endpoints` are HOST:PORT of the members; with `credentials` all of them speak TLS."""
        if credentials:
            self._channels = [grpc.aio.secure_channel(each, credentials, options=_OPTIONS) for each in endpoints]
        else:
            self._channels = [grpc.aio.insecure_channel(each, options=_OPTIONS) for each in endpoints]
        self._endpoints = tuple(endpoints)
        self._user = user
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._current = 0
        self._raft_term = 0

    async def close(self) -> None:
        """Close every connection."""
        for channel in self._channels:
            await channel.close(None)

    async def range(self, key: str, end: str = "", *, limit: int = 0, keys_only: bool = False) -> pb.RangeResponse:
        """The keys from `key` to before `end`, or `key` alone, as the quorum has them. `Lost` after `PATIENCE`."""
        request = pb.RangeRequest(key=key.encode(), range_end=end.encode(), limit=limit, keys_only=keys_only)
        last: Lost | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    for _ in self._channels:
                        try:
                            return await self._call("KV/Range", request, pb.RangeResponse)
                        except Lost as lost:
                            last = lost
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise last or Lost("etcd does not answer") from None

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Do a transaction. `Lost`: perhaps it was done. grpc.aio.AioRpcError if etcd refuses it as it stands."""
        return await self._call("KV/Txn", request, pb.TxnResponse)

    async def put(self, key: str, value: bytes, *, lease: int = 0) -> None:
        """Store a value, which ends with the lease if one is named. `Lost`: perhaps it was."""
        await self._call("KV/Put", pb.PutRequest(key=key.encode(), value=value, lease=lease), pb.PutResponse)

    async def delete(self, key: str, end: str = "") -> None:
        """Delete a key, or all before `end`. `Lost`: perhaps it was done."""
        await self._call(
            "KV/DeleteRange",
            pb.DeleteRangeRequest(key=key.encode(), range_end=end.encode()),
            pb.DeleteRangeResponse,
        )

    async def grant_lease(self, seconds: int) -> int:
        """A new lease, which ends so many seconds after it was last renewed."""
        response = await self._call("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=seconds), pb.LeaseGrantResponse)
        return response.ID

    async def revoke_lease(self, lease: int) -> None:
        """End a lease, and delete what was stored under it."""
        await self._call("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=lease), pb.LeaseRevokeResponse)

    async def renew_lease(self, lease: int) -> bool:
        """Renew a lease once. False if it has ended; `Lost` without an answer."""
        member = self._current
        call = self._stream("Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
        try:
            async with asyncio.timeout(ATTEMPT):
                await call.write(pb.LeaseKeepAliveRequest(ID=lease))
                response = await call.read()
        except (grpc.aio.AioRpcError, TimeoutError) as error:
            raise self._lost(member, error) from error
        finally:
            call.cancel()
        if not isinstance(response, pb.LeaseKeepAliveResponse):  # the end of the stream
            raise self._lost(member)
        self._check_term(member, response.header)
        return bool(response.TTL > 0)

    async def watch(self, prefix: str, start: int) -> AsyncGenerator[pb.WatchResponse, None]:
        """What happens to the keys with that prefix, from that revision on; an empty answer now and then tells that the
        watch lives. `Compacted` if that revision is no longer kept; `Lost` ends it."""
        member = self._current
        call = self._stream("Watch/Watch", pb.WatchResponse)
        create = pb.WatchCreateRequest(
            key=prefix.encode(), range_end=prefix_end(prefix).encode(), start_revision=start, progress_notify=True
        )
        try:
            await call.write(pb.WatchRequest(create_request=create))
            while isinstance(response := await call.read(), pb.WatchResponse):
                if response.compact_revision:
                    raise Compacted
                if response.canceled:
                    raise Lost(f"the watch was cancelled: {response.cancel_reason}")
                self._check_term(member, response.header)
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._lost(member, error) from error
        finally:
            call.cancel()
        raise self._lost(member)

    async def _call(self, method: str, request: Message, response: type[Response]) -> Response:
        if self._user and not self._metadata:
            await self._authenticate(self._user)
        member = self._current
        try:
            answer = await self._unary(method, request, response)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._metadata = ()
            raise self._lost(member, error) from error
        self._check_term(member, answer.header)  # type: ignore[attr-defined]  # every response has one
        return answer

    async def _authenticate(self, user: User) -> None:
        request = pb.AuthenticateRequest(name=user.name, password=user.password)
        try:
            answer = await self._unary("Auth/Authenticate", request, pb.AuthenticateResponse)
        except grpc.aio.AioRpcError as error:
            raise self._lost(self._current, error) from error
        self._metadata = (("token", answer.token),)

    async def _unary(self, method: str, request: Message, response: type[Response]) -> Response:
        call = self._channels[self._current].unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        answer: Response = await call(request, timeout=ATTEMPT, metadata=self._metadata)
        return answer

    def _stream(self, method: str, response: type[Message]) -> "grpc.aio.StreamStreamCall[Message, Message]":
        stream = self._channels[self._current].stream_stream(
            f"/etcdserverpb.{method}",
            request_serializer=_serialize,
            response_deserializer=response.FromString,
        )
        return stream(None, metadata=(*self._metadata, *_NEEDS_LEADER))

    def _check_term(self, member: int, header: pb.ResponseHeader) -> None:
        if header.raft_term < self._raft_term:
            raise self._lost(member)
        self._raft_term = header.raft_term

    def _lost(self, member: int, error: BaseException | None = None) -> Lost:
        """That member is not to be relied on: the next call goes to another one."""
        if member == self._current:
            self._current = (member + 1) % len(self._channels)
        why = error.details() if isinstance(error, grpc.aio.AioRpcError) else "no answer in time"
        return Lost(f"etcd ({self._endpoints[member]}): {why}")


def prefix_end(prefix: str) -> str:
    """The end of the range of all keys with that prefix, which is ASCII and does not end in the last letter of it."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
