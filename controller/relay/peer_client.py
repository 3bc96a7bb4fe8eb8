"""Asks the other controllers that share the store, over their admin ports: implements `ports.Peers`."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from controller.core.control.judged import Gap
from controller.core.control.sync import CutOff
from controller.core.history.recording import Recording
from controller.core.model.member import Member
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.fleet import ProxyStatus
from controller.ports.peers import FleetList, Judgement, Judgements, PeerLost
from controller.ports.service_files import FilesStatus
from controller.process.raw_messages import as_is
from controller.relay.batch_messages import InvalidUpdate
from controller.relay.edge_messages import read_cut_off, read_proxy
from controller.relay.judgement_messages import read_files, read_judgement
from controller.relay.peer_service import SERVICE

ANSWER_WITHIN = 1.0
"""Seconds until the first part of an answer, and each further one, must have come."""
RETRY_WITHIN = 2.0
"""Seconds for a retry, which may be an act on thousands of proxies."""
CALLS_END_WITHIN = 30.0
"""Seconds after which a channel that is no longer used is closed whatever goes on: longer than any answer takes."""
MAX_DETAIL = 200
"""Characters of a failure that are shown."""
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one message: a recording has 1 MB at most when it is stored, and may be larger before."""
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3000),
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel has the former one's connection, which waits in backoff
]

M = TypeVar("M", bound=Message)

log = structlog.get_logger()


class PeerClient:
    """One channel to each controller that was asked, kept until a call fails."""

    def __init__(self, credentials: Callable[[], grpc.ChannelCredentials | None]) -> None:
        """`credentials` are read for each channel; None without TLS."""
        self._credentials = credentials
        self._channels: dict[str, grpc.aio.Channel] = {}
        """By address."""
        self._closing: set[asyncio.Future[None]] = set()

    async def judgements(self, member: Member, services: Collection[str]) -> Judgements:
        """What that controller knows of these services. `PeerLost`."""
        known: dict[str, Judgement] = {}
        files = FilesStatus()
        request = pb.JudgementsRequest(services=services)
        try:
            async for part in self._parts(member, "Judgements", request, pb.JudgementsPart):
                known.update(map(read_judgement, part.judgements))
                files = read_files(part.files) if part.HasField("files") else files
        except InvalidUpdate as error:
            raise _of_other_version(member, str(error)) from None
        return Judgements(known, files)

    async def proxies(self, member: Member) -> FleetList:
        """The proxies that it knows. `PeerLost`."""
        proxies: list[ProxyStatus] = []
        cut_off: list[CutOff] = []
        try:
            async for part in self._parts(member, "Proxies", pb.ProxiesRequest(), pb.ProxiesPart):
                proxies += map(read_proxy, part.proxies)
                cut_off += map(read_cut_off, part.cut_off)
        except InvalidUpdate as error:
            raise _of_other_version(member, str(error)) from None
        return FleetList(tuple(proxies), tuple(cut_off))

    async def recording(self, member: Member, rollout_id: str) -> Recording | None:
        """Its recording of a rollout; None if there is none, or none that can be read. `PeerLost`."""
        request = pb.RecordingRequest(rollout_id=rollout_id)
        response = await self._answer(member, "FindRecording", request, pb.RecordingResponse, ANSWER_WITHIN)
        if not response.recording:
            return None
        try:
            return await asyncio.to_thread(_unpacked, response.recording)
        except (ValueError, zlib.error) as error:
            log.warning("recording_unreadable", rollout=rollout_id, controller=member.name, reason=str(error))
            return None

    async def retry(self, member: Member, service: str, who: str) -> tuple[str, ...]:
        """Have it send its proxies once more what they NACKed. `PeerLost`."""
        request = pb.PeerRetryRequest(service=service, who=who)
        response = await self._answer(member, "Retry", request, pb.PeerRetryResponse, RETRY_WITHIN)
        return tuple(response.nodes)

    async def run(self) -> None:
        """Until cancelled; then close."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every channel."""
        for address in [*self._channels]:
            self._drop(address)
        await asyncio.gather(*self._closing)

    async def _answer(self, member: Member, method: str, request: Message, kind: type[M], within: float) -> M:
        while True:
            channel, is_new = self._channel(member)
            call = channel.unary_unary(f"/{SERVICE}/{method}", as_is, as_is)
            try:
                return _parsed(kind, await call(request.SerializeToString(), timeout=within), member)
            except grpc.aio.AioRpcError as error:
                if not self._is_to_be_tried_again(member, error, is_new=is_new):
                    raise _lost(member, error) from None

    async def _parts(self, member: Member, method: str, request: Message, kind: type[M]) -> AsyncIterator[M]:
        begun = False
        while True:
            channel, is_new = self._channel(member)
            call = channel.unary_stream(f"/{SERVICE}/{method}", as_is, as_is)(request.SerializeToString())
            try:
                while (data := await _next_part(call)) is not None:
                    begun = True
                    yield _parsed(kind, data, member)
                return
            except grpc.aio.AioRpcError as error:
                if not self._is_to_be_tried_again(member, error, is_new=is_new or begun):
                    raise _lost(member, error) from None
            except TimeoutError:
                self._drop(member.admin)
                raise PeerLost(Gap.LEADER_UNREACHABLE, f"no answer within {ANSWER_WITHIN:g} s") from None
            finally:
                call.cancel()

    def _channel(self, member: Member) -> tuple[grpc.aio.Channel, bool]:
        """The channel to that controller, and whether it is a new one."""
        channel = self._channels.get(member.admin)
        if channel is not None:
            return channel, False
        credentials = self._credentials()
        if credentials:
            channel = grpc.aio.secure_channel(member.admin, credentials, options=OPTIONS)
        else:
            channel = grpc.aio.insecure_channel(member.admin, options=OPTIONS)
        self._channels[member.admin] = channel
        return channel, True

    def _is_to_be_tried_again(self, member: Member, error: grpc.aio.AioRpcError, *, is_new: bool) -> bool:
        """Whether the call can succeed on a new channel: the old one may be to an earlier run of that controller, or
        have a former certificate."""
        if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
            return False
        self._drop(member.admin)
        return error.code() is grpc.StatusCode.UNAVAILABLE and not is_new

    def _drop(self, address: str) -> None:
        """Use that channel no more. Calls that are under way on it come to their end first: closing cancels them."""
        if channel := self._channels.pop(address, None):
            closing = asyncio.ensure_future(channel.close(CALLS_END_WITHIN))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _next_part(call: "grpc.aio.UnaryStreamCall[bytes, bytes]") -> bytes | None:
    """The next part of an answer, None after the last. TimeoutError or grpc.aio.AioRpcError without one."""
    async with asyncio.timeout(ANSWER_WITHIN):
        data = await call.read()
    return data if isinstance(data, bytes) else None


def _lost(member: Member, error: grpc.aio.AioRpcError) -> PeerLost:
    """What a failed call means."""
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return _of_other_version(member, "it cannot be asked")
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return PeerLost(Gap.LEADER_UNREACHABLE, "no answer in time")
    if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
        return PeerLost(Gap.LEADER_NOT_DECIDING, error.details() or "")
    return PeerLost(Gap.LEADER_UNREACHABLE, f"{error.code().name}: {(error.details() or '')[:MAX_DETAIL]}")


def _parsed(kind: type[M], data: bytes, member: Member) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise _of_other_version(member, f"its answer is not a {kind.DESCRIPTOR.full_name}") from None


def _of_other_version(member: Member, detail: str) -> PeerLost:
    return PeerLost(Gap.LEADER_OTHER_VERSION, f"{member.version}, at {member.admin}: {detail}")


def _unpacked(packed: bytes) -> Recording:
    return Recording.load(zlib.decompress(packed).decode())
