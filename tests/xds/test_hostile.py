"""Bad and hostile input on the xDS port: each is refused by name, ends its stream at most, and changes nothing else."""

import asyncio
import contextlib
import gc
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
import grpc
import pytest

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.connection import Connection
from controller.xds.limits import Limits
from controller.xds.resources.type_urls import CDS, EDS, TYPE_URL_PREFIX
from tests.support.waiting import wait_until
from tests.xds.local_server import ADS, LocalServer, RawClient, delta_request, local_server, request
from tests.xds.views import service, view

Code = grpc.StatusCode
NAMES = 64
LIMITS = Limits(
    first_request=0.3,
    write=0.5,
    requests_per_second=1.0,
    requests_burst=20,
    names=NAMES,
    message_bytes=16 * 1024,
    types=4,
    streams_per_node=3,
)
"""Small enough that every limit is reached in a moment."""

GOOD = {"type_url": CDS, "node": "edge-1"}


def sends(*messages: bytes) -> Callable[[RawClient], Awaitable[None]]:
    """A client that sends these bytes."""

    async def act(client: RawClient) -> None:
        for message in messages:
            await client.call.write(message)

    return act


async def flood(client: RawClient) -> None:
    """A client that is served, and then sends the same request as fast as it can: one too many."""
    await client.send(**GOOD)
    await client.read()
    for _ in range(LIMITS.requests_burst + 1):
        await client.send(**GOOD)


async def nothing(client: RawClient) -> None:
    """A client that opens a stream and says nothing."""


def nested(depth: int) -> bytes:
    """Groups within groups, as deep as that."""
    return bytes([0x7B]) * depth + bytes([0x7C]) * depth


REFUSED: dict[str, tuple[Callable[[RawClient], Awaitable[None]], Code, str]] = {
    "no node": (sends(request(type_url=CDS)), Code.INVALID_ARGUMENT, "missing node"),
    "empty node.id": (sends(request(type_url=CDS, node="")), Code.INVALID_ARGUMENT, "node.id is empty"),
    "node.id one too long": (sends(request(type_url=CDS, node="n" * 257)), Code.INVALID_ARGUMENT, "node.id"),
    "control characters in node.id": (sends(request(type_url=CDS, node="a\nb")), Code.INVALID_ARGUMENT, "printable"),
    "right-to-left override in node.id": (
        sends(request(type_url=CDS, node="a\u202eb")),
        Code.INVALID_ARGUMENT,
        "printable",
    ),
    "node.id that cannot be seen whole": (
        sends(request(type_url=CDS, node="a\u3164b")),
        Code.INVALID_ARGUMENT,
        "printable",
    ),
    "a fleet without width": (
        sends(request(type_url=CDS, node=pb.Node(id="a", cluster="f\u200b"))),
        Code.INVALID_ARGUMENT,
        "node.cluster",
    ),
    "a type from right to left": (
        sends(request(type_url=f"{CDS}\u202e", node="a")),
        Code.INVALID_ARGUMENT,
        "type_url",
    ),
    "fleet of 10 kB": (
        sends(request(type_url=CDS, node=pb.Node(id="a", cluster="f" * 10_000))),
        Code.INVALID_ARGUMENT,
        "node.cluster",
    ),
    "another proxy's node later": (
        sends(request(**GOOD), request(type_url=CDS, node="edge-2")),
        Code.INVALID_ARGUMENT,
        "belongs to one node",
    ),
    "no type_url": (sends(request(node="edge-1")), Code.INVALID_ARGUMENT, "type_url is empty"),
    "type_url of 1 kB": (sends(request(type_url="t" * 1024, node="edge-1")), Code.INVALID_ARGUMENT, "type_url"),
    "more types than there are": (
        sends(*(request(type_url=f"{TYPE_URL_PREFIX}no.Such{i}", node="edge-1") for i in range(5))),
        Code.RESOURCE_EXHAUSTED,
        "more than 4 resource types",
    ),
    "one name too many": (
        sends(request(**GOOD, resource_names=[f"n{i}" for i in range(NAMES + 1)])),
        Code.RESOURCE_EXHAUSTED,
        f"{NAMES + 1} resource names",
    ),
    "a name of 1 kB": (sends(request(**GOOD, resource_names=["n" * 1024])), Code.INVALID_ARGUMENT, "resource name"),
    "message over the size limit": (
        sends(request(**GOOD, error="e" * LIMITS.message_bytes)),
        Code.RESOURCE_EXHAUSTED,
        "bytes; at most",
    ),
    "message over gRPC's size limit": (
        sends(request(**GOOD, error="e" * 5_000_000)),
        Code.RESOURCE_EXHAUSTED,
        "",
    ),
    "truncated protobuf": (sends(request(**GOOD)[:-1]), Code.INVALID_ARGUMENT, "not a DiscoveryRequest"),
    "wrong wire type": (sends(b"\x0f\x01"), Code.INVALID_ARGUMENT, "not a DiscoveryRequest"),
    "deep nesting": (sends(nested(7000)), Code.INVALID_ARGUMENT, "not a DiscoveryRequest"),
    "invalid UTF-8": (sends(b"\x0a\x02\xff\xfe"), Code.INVALID_ARGUMENT, "not a DiscoveryRequest"),
    "a flood of the same request": (flood, Code.RESOURCE_EXHAUSTED, "a second"),
    "an idle stream": (nothing, Code.DEADLINE_EXCEEDED, "no request within 0.3 s"),
}


@pytest.mark.proves("bad-input 1", "xds-rule 2", "xds-rule 4", "xds-rule 5")
@pytest.mark.parametrize("row", REFUSED)
async def test_an_invalid_request_ends_its_stream_with_a_status_and_leaves_no_trace(row: str) -> None:
    """The stream ends with a status that says what was wrong; a proxy that behaves is served as before."""
    act, code, words = REFUSED[row]
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        hostile = xds.open()
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError, grpc.aio.UsageError):
            await act(hostile)
        found, said = await hostile.end()
        assert (found, words in said) == (code, True), said
        await serves(xds)


async def serves(xds: LocalServer) -> None:
    """A proxy that behaves gets its clusters, and nobody else is there."""
    client = xds.open()
    await client.send(type_url=CDS, node="good")
    assert len((await client.read()).resources) == 2
    await wait_until(lambda: [proxy.node for proxy in xds.xds.proxies()] == ["good"])


TOLERATED: dict[str, tuple[bytes, ...]] = {
    "unknown type": (
        request(type_url=TYPE_URL_PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret", node="edge-1"),
    ),
    "type of the second API": (request(type_url=TYPE_URL_PREFIX + "envoy.api.v2.Cluster", node="edge-1"),),
    "nonce never sent": (request(**GOOD, nonce="never"), request(type_url=CDS, nonce="nor this")),
    "version never sent": (request(**GOOD, version_info="9999999999"),),
    "version that is no number": (request(**GOOD, version_info="0f9a-store.x-y"),),
    "refusal of nothing": (request(**GOOD, error="no"), request(type_url=CDS, error="no", nonce="never")),
    "refusal of 1 kB": (request(**GOOD, error="e" * 5000),),
    "names at the limit, twice the same, empty, wildcard": (
        request(**GOOD, resource_names=[f"n{i}" for i in range(NAMES - 3)] + ["n0", "", "*"]),
    ),
    "names that shrink to none": (request(type_url=EDS, node="edge-1", resource_names=["a"]), request(type_url=EDS)),
    "requests up to the limit": tuple([request(**GOOD)] * 20),
}


@pytest.mark.proves("bad-input 3")
@pytest.mark.parametrize("row", TOLERATED)
async def test_an_unusual_request_is_tolerated(row: str) -> None:
    """The stream goes on and is answered when it asks for something that there is."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        for message in TOLERATED[row][-LIMITS.requests_burst + 1 :]:
            await client.call.write(message)
        await client.send(type_url=TYPE_URL_PREFIX + "envoy.config.listener.v3.Listener", node="edge-1")
        while (await client.read()).type_url == CDS:
            pass


async def test_a_client_with_a_version_from_the_future_waits_and_delays_no_other() -> None:
    """It is told of endpoints alone; others are served."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        await client.call.write(request(**GOOD, version_info=f"0f9a-store.{10**16 - 1}-0123456789abcdef"))
        await client.send(type_url=EDS, resource_names=["fraud/v1"])
        assert (await client.read()).type_url == EDS
        client.call.cancel()
        await serves(xds)


DELTA: dict[str, tuple[tuple[bytes, ...], Code | None]] = {
    "unsubscribe the unknown": ((delta_request(**GOOD, resource_names_unsubscribe=["x", "*"]),), None),
    "versions from the future": (
        (delta_request(**GOOD, initial_resource_versions={"fraud/v1": "9", "x": f"0f9a-store.{9:016d}-{'0' * 16}"}),),
        None,
    ),
    "too many versions": (
        (delta_request(**GOOD, initial_resource_versions={f"n{i}": "1" for i in range(NAMES + 1)}),),
        Code.RESOURCE_EXHAUSTED,
    ),
    "too many names taken away": (
        (delta_request(**GOOD, resource_names_unsubscribe=[f"n{i}" for i in range(NAMES + 1)]),),
        Code.RESOURCE_EXHAUSTED,
    ),
    "a state-of-the-world request": ((request(type_url=CDS, node="edge-1"),), Code.INVALID_ARGUMENT),
}


@pytest.mark.proves("bad-input 18")
@pytest.mark.parametrize("row", DELTA)
async def test_invalid_delta_requests(row: str) -> None:
    """Refused by name, or served."""
    messages, code = DELTA[row]
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open("DeltaAggregatedResources")
        for message in messages:
            await client.call.write(message)
        if code:
            assert (await client.end())[0] is code
        else:
            await client.send_delta(type_url=EDS, resource_names_subscribe=["fraud/v1"])
            while (await client.read_delta()).type_url != EDS:
                pass
        client.call.cancel()
        await wait_until(lambda: not xds.xds.proxies())
        await serves(xds)


async def test_the_names_of_one_stream_are_bounded() -> None:
    """Delta names add up over requests: there is an end to it."""
    async with local_server(LIMITS.model_copy(update={"requests_burst": 1000})) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open("DeltaAggregatedResources")
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for batch in range(4):
                names = [f"n{batch}-{i}" for i in range(NAMES // 2)]
                await client.send_delta(type_url=EDS, node="edge-1", resource_names_subscribe=names)
        assert (await client.end())[0] is Code.RESOURCE_EXHAUSTED


@pytest.mark.proves("bad-input 1")
async def test_a_per_type_service_serves_its_type_alone() -> None:
    """Another type on its stream is refused."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open("StreamClusters", "/envoy.service.cluster.v3.ClusterDiscoveryService/")
        await client.send(type_url=EDS, node="edge-1")
        code, said = await client.end()
        assert (code, "this service is for" in said) == (Code.INVALID_ARGUMENT, True)


@pytest.mark.proves("bad-input 13")
async def test_the_streams_of_one_node_are_limited() -> None:
    """The one too many is refused; the others live, and when one ends there is room again."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        streams = [xds.open() for _ in range(LIMITS.streams_per_node)]
        for client in streams:
            await client.send(**GOOD)
            await client.read()
        late = xds.open()
        await late.send(**GOOD)
        assert (await late.end())[0] is Code.RESOURCE_EXHAUSTED
        streams[0].call.cancel()

        async def admitted() -> bool:
            client = xds.open()
            await client.send(**GOOD)
            with contextlib.suppress(AssertionError):
                return bool(await client.read())
            return False

        await wait_until(admitted)


async def test_streams_under_a_nodes_id_do_not_keep_the_node_out() -> None:
    """Another connection has as many as a connection may have: they are not counted with the node's own."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        async with grpc.aio.insecure_channel(xds.address, [("grpc.use_local_subchannel_pool", 1)]) as other:
            squatters = [RawClient(other.stream_stream(f"{ADS}StreamAggregatedResources")()) for _ in range(4)]
            for client in squatters[:-1]:
                await client.send(**GOOD)
                await client.read()
            await squatters[-1].send(**GOOD)
            assert (await squatters[-1].end())[0] is Code.RESOURCE_EXHAUSTED
            node = xds.open()
            await node.send(**GOOD)
            assert (await node.read()).type_url == CDS


@pytest.mark.proves("bad-input 13")
async def test_a_half_closed_stream_ends() -> None:
    """A client that will never ask again is done."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        await client.send(**GOOD)
        await client.read()
        await client.call.done_writing()
        assert (await client.end())[0] is Code.OK
        assert not xds.xds.proxies()


@pytest.mark.proves("bad-input 1")
async def test_the_error_detail_of_a_nack_is_truncated() -> None:
    """They are shown and written down: 1 KB of them is enough."""
    async with local_server() as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        await client.send(**GOOD)
        response = await client.read()
        await client.send(type_url=CDS, nonce=response.nonce, error="e" * 200_000)
        await wait_until(lambda: xds.observer.events[-1][0] == "nack")
        assert xds.observer.events[-1][4] == "e" * 1024


@pytest.mark.proves("fault 26")
async def test_a_client_that_does_not_read_is_disconnected() -> None:
    """Its window is full and stays so: its stream ends, and with it what waited for it."""
    async with local_server(LIMITS.model_copy(update={"requests_burst": 10_000, "requests_per_second": 1e6})) as xds:
        many = [service(f"s{i}", hosts=(f"s{i}.example",), prefix="/" + "p" * 4000) for i in range(50)]
        xds.xds.publish(view(1, *many))
        client = xds.open("DeltaAggregatedResources")
        await client.send_delta(type_url=CDS, node="edge-1")
        await client.send_delta(type_url=CDS, nonce="1")
        table = "127.0.0.1:10000"
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for nonce in range(1, 400):  # ACKs what it never read
                await client.send_delta(
                    type_url="type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
                    resource_names_subscribe=[table],
                    nonce=str(nonce),
                )
        await wait_until(lambda: not xds.xds.proxies())
        assert (await client.end())[0] is Code.DEADLINE_EXCEEDED


@pytest.mark.proves("bad-input 20")
async def test_another_protocol_on_the_port_is_rejected() -> None:
    """HTTP/1 and noise: an error for them, nothing for us."""
    async with local_server(LIMITS) as xds:
        xds.xds.publish(view(1, service()))
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as session, session.get(f"http://{xds.address}/"):
                pass
        host, _, port = xds.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(random.Random(1).randbytes(1000))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        await serves(xds)


@pytest.mark.proves("fault 25", "xds-bug go-control-plane #430, #570, Kuma #2004, Istio #10822")
async def test_a_thousand_streams_leave_nothing_behind() -> None:
    """Opened, served and dropped, in every way a stream can end: no task, no connection, no state is left."""
    async with local_server(LIMITS.model_copy(update={"streams_per_node": 1000, "first_request": 5.0})) as xds:
        xds.xds.publish(view(1, service()))
        await wait_until(lambda: not xds.xds.proxies())
        before = len(asyncio.all_tasks())
        for batch in range(10):
            clients = [
                xds.open("DeltaAggregatedResources" if i % 2 else "StreamAggregatedResources") for i in range(100)
            ]
            for number, client in enumerate(clients):
                if number % 5 == 4:
                    continue  # never says a word
                send = client.send_delta if number % 2 else client.send
                await send(type_url=CDS, node=f"edge-{batch}-{number}")
            for number, client in enumerate(clients):
                if number % 5 == 0:
                    await client.call.read()
                client.call.cancel()
        await wait_until(lambda: not xds.xds.proxies() and len(asyncio.all_tasks()) <= before, 20.0)
        seen = Counter(event[0] for event in xds.observer.events)
        assert seen.keys() == {"connect", "disconnect"}
        assert seen["connect"] == seen["disconnect"]
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
