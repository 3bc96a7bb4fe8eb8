"""What other controllers that share the store may ask of this one: `haldane.relay.v1.Peers`, on the admin port.

Long answers come in parts, and whatever is urgent goes before each.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from controller.core.history.recording import Recording
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.process.right_of_way import RightOfWay
from controller.relay.edge_messages import cut_off_message, proxy_message
from controller.relay.judgement_messages import files_message, judgement_message
from controller.relay.relay_service import NOT_LEADER
from controller.runtime.peer_answers import PeerAnswers

SERVICE = "haldane.relay.v1.Peers"
SERVICES_AT_ONCE = 50
"""Services in one part: some 100 KB, and a few milliseconds of the event loop."""
PROXIES_AT_ONCE = 100
"""The same for proxies."""
MAX_SERVICES = 100_000
"""Services in one request: ten times as many as a controller has."""

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[bytes, bytes]
M = TypeVar("M", bound=Message)


class PeerService:
    """Answers what `PeerAnswers` knows."""

    def __init__(self, answers: PeerAnswers, right_of_way: RightOfWay) -> None:
        self._answers = answers
        self._right_of_way = right_of_way

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For the admin port, whose guard lets controllers in and no one else."""
        methods = {
            "Judgements": grpc.unary_stream_rpc_method_handler(self._judgements),
            "Proxies": grpc.unary_stream_rpc_method_handler(self._proxies),
            "FindRecording": grpc.unary_unary_rpc_method_handler(self._find_recording),
            "Retry": grpc.unary_unary_rpc_method_handler(self._retry),
        }
        return (grpc.method_handlers_generic_handler(SERVICE, methods),)

    async def _judgements(self, data: bytes, context: Context) -> AsyncIterator[bytes]:
        request = await _parsed(pb.JudgementsRequest, data, context)
        if len(request.services) > MAX_SERVICES:
            text = f"services: at most {MAX_SERVICES} in one request"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        names = request.services
        for start in range(0, len(names), SERVICES_AT_ONCE):
            await self._turn(context)
            known = ((name, self._answers.judgement(name)) for name in names[start : start + SERVICES_AT_ONCE])
            messages = [judgement_message(name, judgement) for name, judgement in known if judgement]
            yield pb.JudgementsPart(judgements=messages).SerializeToString()
        await self._turn(context)
        yield pb.JudgementsPart(files=files_message(self._answers.files())).SerializeToString()

    async def _proxies(self, _data: bytes, context: Context) -> AsyncIterator[bytes]:
        await self._turn(context)
        fleet = self._answers.proxies()
        for start in range(0, len(fleet.proxies), PROXIES_AT_ONCE):
            await self._turn(context)
            part = fleet.proxies[start : start + PROXIES_AT_ONCE]
            yield pb.ProxiesPart(proxies=map(proxy_message, part)).SerializeToString()
        yield pb.ProxiesPart(cut_off=map(cut_off_message, fleet.cut_off)).SerializeToString()

    async def _find_recording(self, data: bytes, context: Context) -> bytes:
        request = await _parsed(pb.RecordingRequest, data, context)
        await self._turn(context)
        recording = await self._answers.recording(request.rollout_id)
        packed = await asyncio.to_thread(_packed, recording.copy()) if recording else b""
        return pb.RecordingResponse(recording=packed).SerializeToString()

    async def _retry(self, data: bytes, context: Context) -> bytes:
        request = await _parsed(pb.PeerRetryRequest, data, context)
        nodes = self._answers.retry(request.service)
        log.info("retried", service=request.service or "*", who=request.who, nodes=nodes)
        return pb.PeerRetryResponse(nodes=nodes).SerializeToString()

    async def _turn(self, context: Context) -> None:
        """Let what is urgent go first. Ends the call unless this controller decides."""
        await self._right_of_way.turn()
        if not self._answers.decides:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, NOT_LEADER)


async def _parsed(kind: type[M], data: bytes, context: Context) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"these bytes are not a {kind.DESCRIPTOR.full_name}")


def _packed(recording: Recording) -> bytes:
    return zlib.compress(recording.dump().encode())
