"""How fast the xDS server is: from a commit to every proxy, and what that costs."""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc

from controller.bootstrap import render
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_line import Entry
from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import children
from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.process.clock import SystemClock
from controller.store.sqlite import SqliteStore
from controller.xds.protocol.discovery import NEWEST, DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse
from controller.xds.protocol.stream import step
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.server import ADS, XdsServer
from controller.xds.wire import serialize_delta_response, serialize_response
from tests.bench import Row
from tests.bench.crowd import LIMITS, STEPS, TABLE, WARM, Acks, Case, alone, child, line, many, say, serving
from tests.bench.floor import multiplications
from tests.support.envoy import EnvoyProcess
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.xds.views import service, view

CROWDS = (
    *(Case(streams, connections) for streams, connections in ((100, 8), (100, 100), (500, 8), (500, 500))),
    *(Case(1000, connections, kind) for connections in (8, 1000) for kind in ("sotw", "delta")),
    *(Case(1000, 8, kind, services=100) for kind in ("sotw", "delta")),
    Case(100, 8, services=1000),
    Case(4000, 50),
    Case(2000, 20, opening=2000),
)
"""The crowds; the last one comes all at once."""
FLIPS = 200
ANY_SIZE = (("grpc.max_receive_message_length", -1),)


async def first_request(kind: str) -> list[Row]:
    """A flip of all weight: from its commit to Envoy's first answer from the other side, on one connection.

    The store is on the disk, with its ledger; what it commits is published as the controller's loop does it.
    """
    acks = Acks()
    xds = XdsServer(clock=SystemClock(), limits=LIMITS, observer=acks)
    listen = free_port()
    with children() as group, tempfile.TemporaryDirectory() as folder:
        async with following(xds, Path(folder)) as store, serving(xds) as port, child("tests.bench.flips") as process:
            ports = await line(process)
            versions = {f"v{n}": [f"127.0.0.1:{p}"] for n, p in enumerate(ports, 1)}
            revision = await store.command(change(to=service(port=listen, versions=versions), expects=0))
            text = render(
                fleet="edge",
                xds=f"127.0.0.1:{port}",
                envoy_admin=f"127.0.0.1:{free_port()}",
                protocol=kind,  # type: ignore[arg-type]
            )
            await EnvoyProcess(group, text).start()
            await wait_until(lambda: acks.count)
            say(process, listen)
            committed, taken, confirmed = [], [], []
            for number in range(FLIPS):
                wanted = ("v2", "v1")[number % 2]
                say(process, wanted)
                await asyncio.sleep(0.02)
                flipped = service(port=listen, versions=versions, canary=("v2", 10_000) if wanted == "v2" else None)
                at = time.monotonic()
                revision = await store.command(change(to=flipped, expects=revision))
                committed.append((time.monotonic() - at) * 1000)
                taken.append((await line(process) - at) * 1000)
                confirmed.append((acks.last - at) * 1000)
    rows = []
    for what, figures in (
        ("commit, until it is on the disk", committed),
        ("commit to Envoy's ACK", confirmed),
        ("commit to Envoy's first answer", taken),
    ):
        ordered = sorted(figures)
        rows.append(Row(f"{what}, p50", f"{FLIPS} flips, {kind}", statistics.median(ordered), "ms"))
        rows.append(Row(f"{what}, p99", f"{FLIPS} flips, {kind}", ordered[int(0.99 * len(ordered))], "ms"))
    return rows


@asynccontextmanager
async def following(xds: XdsServer, folder: Path) -> AsyncIterator[SqliteStore]:
    """A store whose every view is published."""
    store = SqliteStore.open(folder / "haldane.db", clock=SystemClock())

    async def follow() -> None:
        async for newest in store.watch(0):
            xds.publish(newest)

    task = asyncio.create_task(follow())
    try:
        yield store
    finally:
        task.cancel()
        await store.close()


def change(*, to: ServiceState, expects: int) -> Change:
    """The service's next state, as the store takes it."""
    entry = Entry(kind="bench", services=(to.name,), who="bench", why="a flip", weights_after=dict(to.weights))
    return Change(f"flip-{expects}", "flip", Act.RECORD, entry, service=to.name, expects=expects, state=to)


@contextmanager
def measured(into: list[float], clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Milliseconds that the block takes."""
    start = clock()
    yield
    into.append((clock() - start) * 1000)


def first_snapshot(count: int) -> list[Row]:
    """A new process with so many services: until the first proxy could have everything."""
    states, world = many(count), SnapshotCache()
    taken: list[float] = []
    with measured(taken):
        world.update(view(1, *states))
        snapshot = world.snapshot("edge")
        assert snapshot
        stream, _ = step(StreamState(delta=False), snapshot)
        size = 0
        asked = {CDS: (), EDS: tuple(snapshot.catalogue(EDS).listed), LDS: (), RDS: (TABLE,)}
        for type_url, names in asked.items():
            stream, (reply,) = step(stream, DiscoveryRequest(type_url, names))
            size += len(serialize_response(reply, "haldane"))
            stream, _ = step(stream, DiscoveryRequest(type_url, names, reply.version_info, NEWEST))
    return [
        Row("first full snapshot, CPU", f"{count} services", taken[0], "ms"),
        Row("first full snapshot, size", f"{count} services", size / 1024, "KB"),
    ]


async def first_served(count: int) -> list[Row]:
    """A proxy that comes to a controller with so many services: until it was sent the last of all it asks for."""
    xds = XdsServer(clock=SystemClock(), limits=LIMITS)
    xds.publish(view(1, *many(count)))
    names = [f"s{number:04}/{version}" for number in range(count) for version in ("v1", "v2")]
    taken: list[float] = []
    async with serving(xds) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}", ANY_SIZE) as channel:
        await channel.channel_ready()
        for _ in range(WARM + STEPS):
            call = channel.stream_stream(f"/{ADS}/StreamAggregatedResources")()
            with measured(taken, time.monotonic):
                for type_url, asked in ((CDS, []), (EDS, names), (LDS, []), (RDS, [TABLE])):
                    node = pb.Node(id="bench", cluster="edge") if type_url == CDS else None
                    request = pb.DiscoveryRequest(type_url=type_url, resource_names=asked, node=node)
                    await call.write(request.SerializeToString())
                for nonce in range(1, 5):
                    head = pb.DiscoveryResponseHead.FromString(await call.read())
                    if head.type_url == CDS:  # routes wait for it
                        ack = pb.DiscoveryRequest(type_url=CDS, response_nonce=str(nonce))
                        await call.write(ack.SerializeToString())
            call.cancel()
    return [
        Row("first full snapshot, to a proxy on the wire", f"{count} services", statistics.median(taken[WARM:]), "ms")
    ]


def one_step(count: int, kind: str) -> list[Row]:
    """One weight step with so many services on its port: what it costs, and what goes to each proxy."""
    states, world = many(count), SnapshotCache()
    world.update(view(1, *states))
    snapshot = world.snapshot("edge")
    assert snapshot
    delta = kind == "delta"
    stream, _ = step(StreamState(delta=delta), snapshot)
    ask = DeltaDiscoveryRequest(RDS, (TABLE,)) if delta else DiscoveryRequest(RDS, (TABLE,))
    stream, (reply,) = step(stream, ask)
    taken: list[float] = []
    loops: list[float] = []
    for number in range(STEPS):
        stream, _ = step(stream, _accept(reply, delta))
        states[0] = service("s0000", hosts=("s0000.example",), canary=("v2", 500 + number))
        changed = view(2 + number, *states)
        gc.collect()
        with measured(taken):
            world.update(changed)
            snapshot = world.snapshot("edge")
            assert snapshot
            stream, (reply,) = step(stream, snapshot)
            body = (serialize_delta_response if delta else serialize_response)(reply, "haldane")
        loops.append(taken[-1] * 1000 / multiplications())
    case = f"{count} services on a port, {kind}"
    return [
        Row("CPU for one step, up to the bytes", case, statistics.median(taken), "ms"),
        Row("the same in loops of 1000 multiplications", case, statistics.median(loops), "x"),
        Row("bytes of one step to one proxy", case, len(body), "B"),
    ]


def _accept(reply: DiscoveryResponse, delta: bool) -> DiscoveryRequest | DeltaDiscoveryRequest:
    if delta:
        return DeltaDiscoveryRequest(RDS, response_nonce=NEWEST)
    return DiscoveryRequest(RDS, (TABLE,), reply.version_info, NEWEST)


def run() -> list[Row]:
    """All of them."""
    rows = []
    for kind in ("sotw", "delta"):
        rows += asyncio.run(first_request(kind))
        for count in (1, 100, 1000):
            rows += one_step(count, kind)
    for case in CROWDS:
        rows += alone(case)
    for count in (100, 1000):
        rows += [*first_snapshot(count), *asyncio.run(first_served(count))]
    return rows
