"""Where the controller that decides takes up what the others pass on: `haldane.relay.v1.Relay`, on the admin port.

What cannot be read ends its own stream with a status and a reason, and counts for nothing. The other controller opens
a new one, and sends again what was not acknowledged.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import grpc
import structlog
from google.protobuf.message import DecodeError

from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.process.right_of_way import RightOfWay
from controller.relay.batch_messages import MAX_NUMBER, InvalidUpdate, read_batch, validate_name
from controller.relay.edge_messages import read_edge
from controller.runtime.fleet_reports import FleetReports, TooManyReport

SERVICE = "haldane.relay.v1.Relay"
MAX_EDGES = 1000
"""Updates of proxies in one message."""
NOT_LEADER = "this controller does not decide"

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[bytes, bytes]


class RelayService:
    """Takes streams of other controllers while this one decides (`deciding`); at other times they are refused."""

    def __init__(self, right_of_way: RightOfWay) -> None:
        self._right_of_way = right_of_way
        self._reports: FleetReports | None = None
        self._over = asyncio.Event()
        self._streams: dict[str, asyncio.Task[None]] = {}
        """By instance: what reads its newest stream."""

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For the admin port, whose guard lets controllers in and no one else."""
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        return (grpc.method_handlers_generic_handler(SERVICE, {"Report": method}),)

    @contextlib.contextmanager
    def deciding(self, reports: FleetReports) -> Iterator[None]:
        """This controller decides until the end of the block: what comes goes there. Then every stream ends."""
        self._reports, self._over = reports, asyncio.Event()
        try:
            yield
        finally:
            self._reports = None
            self._over.set()

    async def _serve(self, requests: AsyncIterator[bytes], context: Context) -> None:
        reports, over = self._reports, self._over
        if reports is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, NOT_LEADER)
        reading = asyncio.create_task(self._read(requests, context, reports))
        ending = asyncio.create_task(over.wait())
        try:
            await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            ending.cancel()
            await asyncio.wait((reading, ending))
        if reading.cancelled() and not over.is_set():
            await context.abort(grpc.StatusCode.ABORTED, "another stream of this instance has begun")
        if reading.cancelled():
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, NOT_LEADER)
        error = reading.exception()
        if isinstance(error, InvalidUpdate):
            log.warning("relay_refused", peer=context.peer(), reason=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        if isinstance(error, TooManyReport):
            log.warning("relay_refused", peer=context.peer(), reason=str(error))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        if error:
            log.error("relay_failed", peer=context.peer(), exc_info=error)
            await context.abort(grpc.StatusCode.INTERNAL, "an error of the controller's own; its log says more")

    async def _read(self, requests: AsyncIterator[bytes], context: Context, reports: FleetReports) -> None:
        instance = ""
        try:
            async for data in requests:
                await self._right_of_way.turn()
                update = _parsed(data)
                if not instance:
                    instance, received, saved = self._open(update, reports)
                else:
                    received, saved = _take_up(update, instance, reports)
                await context.write(pb.Ack(received=received, saved=saved).SerializeToString())
        finally:
            if instance:
                self._close(instance, reports)

    def _open(self, update: pb.Update, reports: FleetReports) -> tuple[str, int, int]:
        """A new stream of an instance ends its one before: that connection is lost, and does not know it yet."""
        hello = update.hello
        instance, name = validate_name(hello.instance, "an instance"), validate_name(hello.name, "a controller")
        if hello.acknowledged > MAX_NUMBER:
            raise InvalidUpdate(f"a batch's number is at most {MAX_NUMBER}")
        if before := self._streams.get(instance):
            before.cancel()
        task = asyncio.current_task()
        assert task is not None  # this runs in one
        received = reports.open(instance, name, hello.acknowledged)
        self._streams[instance] = task
        return instance, received, 0

    def _close(self, instance: str, reports: FleetReports) -> None:
        if self._streams.get(instance) is asyncio.current_task():
            del self._streams[instance]
        reports.close(instance)


def _parsed(data: bytes) -> pb.Update:
    try:
        return pb.Update.FromString(data)
    except DecodeError:
        raise InvalidUpdate(f"these bytes are not a {pb.Update.DESCRIPTOR.full_name}") from None


def _take_up(update: pb.Update, instance: str, reports: FleetReports) -> tuple[int, int]:
    """Up to which batch everything is taken up, and up to which it is safe."""
    if len(update.edges) > MAX_EDGES:
        raise InvalidUpdate(f"a message has at most {MAX_EDGES} updates of proxies")
    batch = read_batch(update.batch) if update.HasField("batch") else None
    edges = [*map(read_edge, update.edges)]
    saved = reports.add(instance, batch, edges)
    return reports.positions[instance], saved
