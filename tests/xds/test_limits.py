"""Every limit of the xDS port, at it and one beyond it: served at it, refused by its name beyond it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.ports.fleet import Nack
from controller.xds.limits import DEFAULT, UNREAD_BYTES, Limits
from controller.xds.protocol.nack_log import NackLog
from controller.xds.resources.type_urls import CDS, EDS, TYPE_URL_PREFIX
from controller.xds.server import make_grpc_server
from controller.xds.token_bucket import TokenBucket
from tests.support.http_server import connections_made
from tests.support.waiting import wait_until
from tests.xds.local_server import ADS, LocalServer, RawClient, delta_request, local_server, request
from tests.xds.views import service, view

Code = grpc.StatusCode
GOOD: dict[str, Any] = {"type_url": CDS, "node": "edge-1"}


@dataclass(frozen=True)
class Case:
    """A limit and its value in the test; what a client sends at it and beyond it; what it is told then."""

    value: float
    at: tuple[bytes, ...]
    beyond: tuple[bytes, ...]
    words: str
    code: Code = Code.RESOURCE_EXHAUSTED
    delta: bool = False


def padded(size: int) -> bytes:
    """A request of exactly so many bytes."""
    empty = len(request(**GOOD, error="")) + 2  # two bytes more for the lengths of a text this long
    data = request(**GOOD, error="e" * (size - empty - 1))
    data = data if len(data) == size else request(**GOOD, error="e" * (size - empty - 1 + size - len(data)))
    assert len(data) == size
    return data


def named(count: int) -> bytes:
    """A request for so many resources."""
    return request(**GOOD, resource_names=[f"n{i}" for i in range(count)])


def added(*counts: int) -> tuple[bytes, ...]:
    """Delta requests that each add so many names."""
    batches = [[f"n{number}-{i}" for i in range(count)] for number, count in enumerate(counts)]
    return tuple(delta_request(type_url=EDS, node="edge-1", resource_names_subscribe=names) for names in batches)


def typed(count: int) -> tuple[bytes, ...]:
    """Requests of so many types."""
    return tuple(request(type_url=f"{TYPE_URL_PREFIX}no.Such{i}", node="edge-1") for i in range(count))


INVALID = Code.INVALID_ARGUMENT
CASES: dict[str, tuple[str, Case]] = {
    "message_bytes": ("message_bytes", Case(2000, (padded(2000),), (padded(2001),), "2001 bytes; at most 2000")),
    "names in a request": ("names", Case(20, (named(20),), (named(21),), "21 resource names")),
    "names on a stream": (
        "names",
        Case(20, added(10, 10), added(10, 10, 1), "21 resource names on one stream", delta=True),
    ),
    "name_length": (
        "name_length",
        Case(
            100,
            (request(**GOOD, resource_names=["n" * 100]),),
            (request(**GOOD, resource_names=["n" * 101]),),
            "longer than 100",
            INVALID,
        ),
    ),
    "a type's length": (
        "name_length",
        Case(
            100,
            (request(type_url="t" * 100, node="edge-1"),),
            (request(type_url="t" * 101, node="edge-1"),),
            "type_url is longer than 100",
            INVALID,
        ),
    ),
    "a node's id": (
        "node_length",
        Case(
            20,
            (request(type_url=CDS, node="n" * 20),),
            (request(type_url=CDS, node="n" * 21),),
            "node.id is not at most 20",
            INVALID,
        ),
    ),
    "a node's fleet": (
        "node_length",
        Case(
            20,
            (request(type_url=CDS, node=pb.Node(id="a", cluster="f" * 20)),),
            (request(type_url=CDS, node=pb.Node(id="a", cluster="f" * 21)),),
            "node.cluster is not at most 20",
            INVALID,
        ),
    ),
    "types": ("types", Case(5, typed(5), typed(6), "more than 5 resource types")),
    "requests_burst": (
        "requests_burst",
        Case(10, (request(**GOOD),) * 11, (request(**GOOD),) * 12, "more than 10 requests at once"),
    ),
}
"""The first request of a stream is not counted: it says who asks."""

HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How every HTTP/2 connection begins: the preface and empty settings."""

SLOW = {"requests_per_second": 0.001}
"""So that a burst is a burst, however slow the machine."""


@contextlib.asynccontextmanager
async def limited(**given: Any) -> AsyncIterator[LocalServer]:
    """A server with these limits and one service."""
    async with local_server(Limits(**given)) as opened:
        opened.xds.publish(view(1, service()))
        yield opened


async def spoken(xds: LocalServer, case: Case, messages: tuple[bytes, ...]) -> RawClient:
    """A stream on which these were sent."""
    client = xds.open("DeltaAggregatedResources" if case.delta else "StreamAggregatedResources")
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
        for message in messages:
            await client.call.write(message)
    return client


@pytest.mark.parametrize("row", CASES)
async def test_at_the_limit_the_stream_is_served(row: str) -> None:
    """It stands, with everything that was asked."""
    name, case = CASES[row]
    async with limited(**{**SLOW, name: case.value}) as xds:
        client = await spoken(xds, case, case.at)
        expected = {pb_type(message, delta=case.delta) for message in case.at}

        def heard() -> bool:
            return len(xds.xds.proxies()) == 1 and {t.type_url for t in xds.xds.proxies()[0].types} == expected

        await wait_until(heard)
        assert not client.call.done()


@pytest.mark.parametrize("row", CASES)
async def test_beyond_the_limit_the_stream_ends_with_the_name_of_the_limit(row: str) -> None:
    """And with a status for programs."""
    name, case = CASES[row]
    async with limited(**{**SLOW, name: case.value}) as xds:
        code, said = await (await spoken(xds, case, case.beyond)).end()
        assert (code, case.words in said) == (case.code, True), said
        assert not xds.xds.proxies()


def pb_type(message: bytes, *, delta: bool) -> str:
    """The type that a request is for."""
    return (pb.DeltaDiscoveryRequest if delta else pb.DiscoveryRequest).FromString(message).type_url


async def opened(channel: grpc.aio.Channel, number: int, metadata: Any = None) -> tuple[Code | None, RawClient]:
    """A stream of a node of its own: None if it is served, else how it ended."""
    client = RawClient(channel.stream_stream(ADS + "StreamAggregatedResources")(metadata=metadata))
    try:
        await client.send(type_url=CDS, node=f"edge-{number}")
        await client.read()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError, AssertionError):
        return await client.call.code(), client
    return None, client


async def test_limit_of_streams() -> None:
    """gRPC refuses the one too many; when one ends there is room."""
    async with limited(streams=3) as xds:
        served = [await opened(xds.channel, number) for number in range(3)]
        assert [code for code, _ in served] == [None] * 3
        assert (await opened(xds.channel, 3))[0] is Code.RESOURCE_EXHAUSTED
        served[0][1].call.cancel()

        async def room() -> bool:
            return (await opened(xds.channel, 4))[0] is None

        await wait_until(room)


async def test_a_burst_of_calls_beyond_a_thousand_loses_none() -> None:
    """They all wait at once for the event loop, which the burst itself keeps busy: gRPC would reject some of them."""
    async with limited(streams_per_connection=2000) as xds:
        calls = [xds.channel.stream_stream(ADS + "StreamAggregatedResources")() for _ in range(1500)]

        async def is_served(call: Any, number: int) -> bool:
            await call.write(request(type_url=CDS, node=f"edge-{number}"))
            return await call.read() is not grpc.aio.EOF  # type: ignore[attr-defined]

        assert all(await asyncio.gather(*map(is_served, calls, range(len(calls)))))
        for call in calls:
            call.cancel()


@pytest.mark.soak
async def test_calls_that_wait_for_longer_than_half_a_minute_are_served() -> None:
    """gRPC would cancel a call that the event loop has not taken within 30 s, as a loop that is far behind does not."""
    async with limited() as xds:
        clients = [xds.open() for _ in range(100)]
        sent = [
            asyncio.create_task(client.send(type_url=CDS, node=f"edge-{number}"))
            for number, client in enumerate(clients)
        ]
        await asyncio.sleep(0)  # all are begun
        time.sleep(31)  # noqa: ASYNC251 - the loop is busy
        await asyncio.gather(*sent)
        await asyncio.gather(*(client.read(within=30) for client in clients))
        for client in clients:
            client.call.cancel()


async def test_limit_of_streams_per_node() -> None:
    """Streams of others are not counted with them."""
    async with limited(streams_per_node=2) as xds:
        assert [(await opened(xds.channel, 1))[0] for _ in range(3)] == [None, None, Code.RESOURCE_EXHAUSTED]
        assert (await opened(xds.channel, 2))[0] is None


@pytest.mark.proves("track-record 49")
@pytest.mark.parametrize("name", ["metadata_bytes"])
async def test_limit_of_header_size(name: str) -> None:
    """gRPC counts every header of a call, its name and 32 bytes more; so beside one's own there are some hundred."""
    async with limited(metadata_bytes=4096) as xds:
        assert (await opened(xds.channel, 1, [("x", "v" * (4096 - 1024))]))[0] is None
        async with grpc.aio.insecure_channel(xds.address, [("grpc.max_metadata_size", 65536)]) as channel:
            assert (await opened(channel, 2, [("x", "v" * 4096)]))[0] is Code.RESOURCE_EXHAUSTED


async def test_limit_of_connections() -> None:
    """The one too many is closed at once; when one ends there is room."""
    async with limited(connections=2) as xds, raw_connections(xds.address, 3) as (*served, late):
        assert await late.read() == b""
        assert not any(reader.at_eof() for reader in served)

        async def room() -> bool:
            async with grpc.aio.insecure_channel(xds.address) as channel:
                return (await opened(channel, 1))[0] is None

        assert not await room()
        served[0]._transport.abort()  # type: ignore[attr-defined]
        await wait_until(room)


async def test_limit_of_streams_per_connection() -> None:
    """A client opens the one too many only when another ends; a connection of its own is not counted with it."""
    apart = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share a connection
    async with limited(streams_per_connection=2) as xds, grpc.aio.insecure_channel(xds.address, apart) as other:
        served = [await opened(xds.channel, number) for number in range(2)]
        assert [code for code, _ in served] == [None] * 2
        late = asyncio.create_task(opened(xds.channel, 2))
        assert (await opened(other, 3))[0] is None
        assert sorted(proxy.node for proxy in xds.xds.proxies()) == ["edge-0", "edge-1", "edge-3"]
        served[0][1].call.cancel()
        assert (await late)[0] is None


@pytest.mark.parametrize("greeting", [b"", HTTP2[:10]])
async def test_limit_of_time_for_the_handshake(greeting: bytes) -> None:
    """A connection that says nothing, or half of what it must, is closed; one that has a call stays."""
    async with limited(handshake=0.3) as xds, raw_connections(xds.address, 1, greeting) as (silent,):
        assert (await opened(xds.channel, 1))[0] is None
        async with asyncio.timeout(10):
            await silent.read()
        assert [proxy.node for proxy in xds.xds.proxies()] == ["edge-1"]


async def test_limit_of_idle_time() -> None:
    """A connection without a call is closed; one that has a call stays."""
    async with limited(idle=0.3) as xds, raw_connections(xds.address, 1, HTTP2) as (idle,):
        assert (await opened(xds.channel, 1))[0] is None
        async with asyncio.timeout(10):
            await idle.read()
        assert [proxy.node for proxy in xds.xds.proxies()] == ["edge-1"]


@contextlib.asynccontextmanager
async def raw_connections(address: str, count: int, greeting: bytes = b"") -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections of clients that say that much and no more."""
    host, _, port = address.rpartition(":")
    ends = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    for _, writer in ends:
        writer.write(greeting)
    try:
        yield [reader for reader, _ in ends]
    finally:
        for _, writer in ends:
            writer.transport.abort()


def test_limit_of_requests_per_second() -> None:
    """By a clock of the test: what is used up comes back at that rate, and never more than a burst."""
    bucket = TokenBucket(burst=2, rate=4.0, now=100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(at) for at in (100.25, 100.26, 100.75, 100.76)] == [True, False, True, True]
    assert [bucket.take(900.0) for _ in range(3)] == [True, True, False]


async def test_limit_of_error_detail_length() -> None:
    """Whole at the limit, cut beyond it."""
    async with limited(error_length=10) as xds:
        for number, text in enumerate(("e" * 10, "e" * 11)):
            client = xds.open()
            await client.send(type_url=CDS, node=f"edge-{number}")
            await client.send(type_url=CDS, nonce=(await client.read()).nonce, error=text)
            await wait_until(lambda number=number: len(told(xds)) == number + 1)
        assert told(xds) == ["e" * 10] * 2


def told(xds: LocalServer) -> list[str]:
    """The refusals, in the proxies' words."""
    return [line[4] for line in xds.observer.events if line[0] == "nack"]


def test_limit_of_remembered_nacks() -> None:
    """The one too many takes the place of the oldest."""
    refusals = NackLog(3)
    for node in "abc":
        assert refusals.record(node, "edge", Nack(CDS, 1.0, "bad"), ["x"])
    assert not refusals.record("a", "edge", Nack(CDS, 2.0, "bad"), ["x"])
    assert refusals.record("d", "edge", Nack(CDS, 3.0, "bad"), ["x"])
    assert refusals.last("b", "edge") is None
    assert refusals.last("a", "edge")


async def test_limit_of_time_for_the_first_request() -> None:
    """The first request's time."""
    async with limited(first_request=0.2) as xds:
        late = xds.open()
        assert await late.end() == (Code.DEADLINE_EXCEEDED, "no request within 0.2 s")
    async with limited(first_request=60) as xds:
        assert (await opened(xds.channel, 1))[0] is None


@pytest.mark.proves("track-record 41", "xds-bug kubelb #532")
async def test_a_connection_that_breaks_silently_is_noticed() -> None:
    """One that lives answers and stays, however little it says."""
    async with (
        limited(keepalive=2.0) as xds,
        relay(xds.address) as (address, cut),
        grpc.aio.insecure_channel(address) as channel,
    ):
        assert (await opened(channel, 1))[0] is None
        assert (await opened(xds.channel, 2))[0] is None
        cut()
        await wait_until(lambda: [proxy.node for proxy in xds.xds.proxies()] == ["edge-2"], 20.0)


@contextlib.asynccontextmanager
async def relay(address: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """A way to that address which can be cut: from then on nothing passes, and no one is told."""
    whole = asyncio.Event()
    whole.set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await whole.wait()
                writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = address.rpartition(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        ends.extend((writer, inner_writer))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    ends: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", whole.clear
    finally:
        whole.set()
        await connections_made()
        server.close()
        for end in ends:
            end.transport.abort()  # a peer that does not read would keep it open
        await asyncio.sleep(0)  # it is closed in the next turn of the event loop


ELSEWHERE = {
    "write": "tests/xds/test_hostile.py",
    "first_retry": "tests/xds/test_nacks.py",
    "last_retry": "tests/xds/test_nacks.py",
    "settle": "tests/xds/test_ordering.py",
    "confirm": "tests/xds/test_server.py",
}
"""Times that are seen by what they end: a slow reader, a returning client's grace, a silent proxy."""
HERE = {
    "streams",
    "streams_per_node",
    "connections",
    "streams_per_connection",
    "handshake",
    "idle",
    "metadata_bytes",
    "requests_per_second",
    "error_length",
    "refusals",
    "first_request",
    "keepalive",
}


def test_every_limit_has_a_test() -> None:
    """A new one needs its row."""
    assert {name for name, _ in CASES.values()} | HERE | ELSEWHERE.keys() == set(Limits.model_fields)
    assert Limits() == DEFAULT


async def test_reports_that_wait_to_be_read_take_little_memory() -> None:
    """A client that sends faster than it is read has to wait, however long it has been sending."""
    message, read, written, behind = b"x" * 60_000, 0, 0, 0

    async def serve(requests: AsyncIterator[bytes], _context: object) -> bytes:
        nonlocal read
        async for _ in requests:
            read += 1
            await asyncio.sleep(0.002)
        return b""

    server = make_grpc_server(DEFAULT)
    method = grpc.stream_unary_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("reports", {"Send": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_unary("/reports/Send")()
            for _ in range(300):
                await call.write(message)
                written += 1
                behind = max(behind, written - read)
            await call.done_writing()
            await call
    finally:
        await server.stop(0)
    assert read == 300
    assert behind * len(message) <= 4 * UNREAD_BYTES
