"""The port of the one that decides: whatever another controller sends ends that stream at most."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import pytest

from controller.core.traffic.report_batch import ProxyReport, ReportBatch
from controller.core.traffic.reports import ClusterLoad
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.process.right_of_way import RightOfWay
from controller.relay.batch_messages import batch_message
from controller.relay.relay_client import METHOD
from controller.relay.relay_service import RelayService
from controller.runtime import fleet_reports
from tests.relay.test_fleet_reports import World


class Port:
    """A server of the one that decides, and streams to it."""

    def __init__(self, world: World, address: str, term: contextlib.ExitStack, channel: grpc.aio.Channel) -> None:
        self.world = world
        self.address = address
        self.term = term
        self.channel = channel

    def stream(self) -> "grpc.aio.StreamStreamCall[bytes, bytes]":
        """A new stream."""
        return self.channel.stream_stream(METHOD)()  # type: ignore[call-arg]


@contextlib.asynccontextmanager
async def port_open() -> AsyncIterator[Port]:
    """Open while it decides."""
    world, service = World(), RelayService(RightOfWay())
    world.reports.book.track_clusters(["scorer/v1", "scorer/v2"])
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(service.handlers())
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        with contextlib.ExitStack() as term:
            term.enter_context(service.deciding(world.reports))
            yield Port(world, address, term, channel)
    await server.stop(0)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    """The same for a test."""
    async with port_open() as opened:
        yield opened


async def exchange(call: "grpc.aio.StreamStreamCall[bytes, bytes]", update: pb.Update) -> pb.Ack:
    """The answer to a message."""
    await call.write(update.SerializeToString())
    answer = await call.read()
    assert isinstance(answer, bytes), await call.details()
    return pb.Ack.FromString(answer)


async def ended(call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> grpc.StatusCode:
    """How a stream ended."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call.read()
    return await call.code()


def hello(instance: str = "two", acknowledged: int = 0) -> pb.Update:
    """The first message."""
    return pb.Update(hello=pb.Hello(instance=instance, name=instance, acknowledged=acknowledged))


def batch(number: int, started: int = 1) -> pb.Update:
    """A message with that batch: one report of the canary."""
    report = ProxyReport({"scorer/v2": ClusterLoad(started, started)}, 0.2)
    return pb.Update(batch=batch_message(ReportBatch(number, {"p": report})))


def requests(port: Port) -> int:
    """Requests to the canary that count."""
    return port.world.reports.book.traffic("scorer", "v2", port.world.clock.monotonic()).requests


async def test_batches_are_acknowledged_in_order_and_count_once(port: Port) -> None:
    """Also on a new stream after a lost one, whose last batch is sent again."""
    first = port.stream()
    assert await exchange(first, hello()) == pb.Ack()
    assert await exchange(first, batch(1, 10)) == pb.Ack(received=1, saved=1)
    assert await exchange(first, batch(2, 100)) == pb.Ack(received=2, saved=2)
    second = port.stream()
    assert await exchange(second, hello(acknowledged=1)) == pb.Ack(received=2)
    assert await exchange(second, batch(2, 100)) == pb.Ack(received=2, saved=2)
    assert await exchange(second, pb.Update()) == pb.Ack(received=2, saved=2)
    assert requests(port) == 110


async def test_a_newer_stream_of_an_instance_ends_the_older_one(port: Port) -> None:
    """That connection is lost and does not know it: what still comes on it would be a second voice."""
    first = port.stream()
    await exchange(first, hello())
    second = port.stream()
    await exchange(second, hello())
    assert await ended(first) is grpc.StatusCode.ABORTED
    await exchange(second, batch(1))


WRONG = {
    "no message": b"\xff\xff\xff",
    "no hello": batch(1).SerializeToString(),
    "an instance that cannot be shown": hello("a\nb").SerializeToString(),
    "a number beyond all": hello(acknowledged=2**60).SerializeToString(),
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_first_message_ends_its_stream(port: Port, what: str) -> None:
    """With the reason; another stream goes on."""
    other, call = port.stream(), port.stream()
    await exchange(other, hello("three"))
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call.write(WRONG[what])
        await call.read()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await call.details()
    await exchange(other, batch(1))


async def test_a_wrong_batch_counts_for_nothing(port: Port) -> None:
    """Nothing of it, and the next stream goes on where this one was."""
    call = port.stream()
    await exchange(call, hello())
    wrong = batch(1)
    wrong.batch.reports.add(proxy="q", loads=[9, 1, 1, 1, 1])
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call.write(wrong.SerializeToString())
        await call.read()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert requests(port) == 0
    again = port.stream()
    assert await exchange(again, hello()) == pb.Ack()
    assert await exchange(again, batch(1)) == pb.Ack(received=1, saved=1)


async def test_what_is_kept_of_controllers_and_proxies_is_bounded(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may relay cannot fill the memory of the one that decides; those that are there already go on."""
    monkeypatch.setattr(fleet_reports, "MAX_CONTROLLERS", 2)
    monkeypatch.setattr(fleet_reports, "MAX_PROXIES", 3)
    first, second = port.stream(), port.stream()
    await exchange(first, hello("two"))
    await exchange(second, hello("three"))
    third = port.stream()
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await third.write(hello("four").SerializeToString())
    assert await ended(third) is grpc.StatusCode.RESOURCE_EXHAUSTED

    reports = {f"p{n}": ProxyReport({"scorer/v2": ClusterLoad(1, 1)}, 0.2) for n in range(4)}
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await second.write(pb.Update(batch=batch_message(ReportBatch(1, reports))).SerializeToString())
    assert await ended(second) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert requests(port) == 0
    await exchange(first, batch(1))
    await exchange(port.stream(), hello("three"))


async def test_streams_end_with_the_term_and_are_refused_after_it(port: Port) -> None:
    """So each controller looks for the one that decides now."""
    call = port.stream()
    await exchange(call, hello())
    port.term.close()
    assert await ended(call) is grpc.StatusCode.FAILED_PRECONDITION
    assert await ended(port.stream()) is grpc.StatusCode.FAILED_PRECONDITION
