"""How fast the xDS server is: from a new revision to every proxy, and what that costs."""

import asyncio
import gc
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.bootstrap import render
from controller.clock import SystemClock
from controller.core.view import ServiceState
from controller.demo.processes import children
from controller.xds.lanes import Stream
from controller.xds.limits import Limits
from controller.xds.server import XdsServer, make_grpc_server
from controller.xds.snapshot import CDS, EDS, LDS, RDS
from controller.xds.stream import DeltaRequest, Reply, Request, step
from controller.xds.wire import write_delta_reply, write_reply
from controller.xds.world import World
from tests.bench import Row
from tests.support.envoy import EnvoyProcess
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.xds.worlds import service, view

LIMITS = Limits(names=10_000, message_bytes=1024 * 1024)
TABLE = "127.0.0.1:10000"
CROWDS = ((100, 100), (500, 500), (1000, 8), (1000, 1000), (2000, 20))
"""Streams, and the connections that they share."""
STEPS = 7
FLIPS = 100


@dataclass
class Acks:
    """Counts acknowledgements of routes, and remembers when the newest came."""

    count: int = 0
    last: float = 0.0
    lines: list[str] = field(default_factory=list)

    def acknowledged(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """One more."""
        self.count += type_url == RDS
        self.last = time.monotonic()

    def rejected(self, node: str, fleet: str, type_url: str, error: str, *, news: bool) -> None:
        """Never, here."""
        raise AssertionError(error)

    def connected(self, node: str, fleet: str) -> None:
        """A stream stands."""

    def disconnected(self, node: str, fleet: str) -> None:
        """A stream is gone."""


@asynccontextmanager
async def serving(xds: XdsServer) -> AsyncIterator[int]:
    """The server on a port."""
    server = make_grpc_server(LIMITS)
    server.add_generic_rpc_handlers(xds.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


@asynccontextmanager
async def child(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python module as a process."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process, within: float = 60.0) -> Any:
    """The next line that a child writes, as JSON."""
    assert process.stdout
    async with asyncio.timeout(within):
        return json.loads(await process.stdout.readline())


def say(process: asyncio.subprocess.Process, text: object) -> None:
    """A line to a child."""
    assert process.stdin
    process.stdin.write(f"{text}\n".encode())


def resident() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def crowd(streams: int, connections: int, kind: str) -> list[Row]:
    """A weight step to many streams: from publishing it to the last acknowledgement."""
    acks = Acks()
    xds = XdsServer(clock=SystemClock(), limits=LIMITS, observer=acks)
    xds.publish(view(1, service()))
    case = f"{streams} streams, {connections} connections, {kind}"
    async with serving(xds) as port:
        before = resident()
        start = time.monotonic()
        async with child(
            "tests.bench.clients", f"127.0.0.1:{port}", str(streams), str(connections), kind, TABLE
        ) as process:
            tries = (await line(process))["tries"]
            joined = time.monotonic() - start
            await wait_until(lambda: acks.count >= streams)
            memory = (resident() - before) / streams / 1024
            taken, cpu = [], []
            for number in range(STEPS):
                acks.count = 0
                spent = time.process_time()
                at = time.monotonic()
                xds.publish(view(2 + number, service(canary=("v2", 500 + number))))
                await wait_until(lambda: acks.count >= streams, every=0.005)
                taken.append((acks.last - at) * 1000)
                cpu.append((time.process_time() - spent) * 1000)
    return [
        Row("step to last ACK, median", case, statistics.median(taken), "ms"),
        Row("step to last ACK, worst", case, max(taken), "ms"),
        Row("CPU of the server for one step, median", case, statistics.median(cpu), "ms"),
        Row("memory of the server for one stream", case, memory, "KB"),
        Row("all streams standing after", case, joined, "s"),
        Row("streams tried again", case, tries - streams, ""),
    ]


async def first_request(kind: str) -> list[Row]:
    """A flip of all weight: from publishing it to Envoy's first answer from the other side, on one connection."""
    acks = Acks()
    xds = XdsServer(clock=SystemClock(), limits=LIMITS, observer=acks)
    listen = free_port()
    with children() as group:
        async with serving(xds) as port, child("tests.bench.flips") as process:
            ports = await line(process)
            versions = {f"v{n}": [f"127.0.0.1:{p}"] for n, p in enumerate(ports, 1)}
            xds.publish(view(1, service(port=listen, versions=versions)))
            text = render(
                fleet="edge",
                xds=f"127.0.0.1:{port}",
                envoy_admin=f"127.0.0.1:{free_port()}",
                protocol=kind,  # type: ignore[arg-type]
            )
            await EnvoyProcess(group, text).start()
            await wait_until(lambda: acks.count)
            say(process, listen)
            taken, confirmed = [], []
            for number in range(FLIPS):
                wanted = ("v2", "v1")[number % 2]
                say(process, wanted)
                await asyncio.sleep(0.02)
                at = time.monotonic()
                xds.publish(
                    view(
                        2 + number,
                        service(port=listen, versions=versions, canary=("v2", 10_000) if wanted == "v2" else None),
                    )
                )
                taken.append((await line(process) - at) * 1000)
                confirmed.append((acks.last - at) * 1000)
    rows = []
    for what, figures in (("step to Envoy's first answer", taken), ("step to Envoy's ACK", confirmed)):
        ordered = sorted(figures)
        rows.append(Row(f"{what}, p50", f"{FLIPS} flips, {kind}", statistics.median(ordered), "ms"))
        rows.append(Row(f"{what}, p99", f"{FLIPS} flips, {kind}", ordered[int(0.99 * len(ordered))], "ms"))
    return rows


def alone(streams: int, connections: int, kind: str) -> list[Row]:
    """The same in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_crowd, streams, connections, kind).result()


def _crowd(streams: int, connections: int, kind: str) -> list[Row]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return asyncio.run(crowd(streams, connections, kind))


def many(count: int) -> list[ServiceState]:
    """So many services on one port."""
    return [service(f"s{number:04}", hosts=(f"s{number:04}.example",)) for number in range(count)]


@contextmanager
def measured(into: list[float], clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Milliseconds that the block takes."""
    start = clock()
    yield
    into.append((clock() - start) * 1000)


def first_snapshot(count: int) -> list[Row]:
    """A new process with so many services: until the first proxy could have everything."""
    states, world = many(count), World()
    taken: list[float] = []
    with measured(taken):
        world.turn(view(1, *states))
        snapshot = world.snapshot("edge")
        assert snapshot
        stream, _ = step(Stream(delta=False), snapshot)
        size = 0
        asked = {CDS: (), EDS: tuple(snapshot.catalogue(EDS).listed), LDS: (), RDS: (TABLE,)}
        for type_url, names in asked.items():
            stream, (reply,) = step(stream, Request(type_url, names))
            size += len(write_reply(reply, "haldane"))
            stream, _ = step(stream, Request(type_url, names, reply.version, reply.nonce))
    return [
        Row("first full snapshot, CPU", f"{count} services", taken[0], "ms"),
        Row("first full snapshot, size", f"{count} services", size / 1024, "KB"),
    ]


def one_step(count: int, kind: str) -> list[Row]:
    """One weight step with so many services on its port: what it costs, and what goes to each proxy."""
    states, world = many(count), World()
    world.turn(view(1, *states))
    snapshot = world.snapshot("edge")
    assert snapshot
    delta = kind == "delta"
    stream, _ = step(Stream(delta=delta), snapshot)
    ask = DeltaRequest(RDS, (TABLE,)) if delta else Request(RDS, (TABLE,))
    stream, (reply,) = step(stream, ask)
    taken: list[float] = []
    for number in range(2 * STEPS):
        stream, _ = step(stream, _accept(reply, delta))
        states[0] = service("s0000", hosts=("s0000.example",), canary=("v2", 500 + number))
        changed = view(2 + number, *states)
        gc.collect()
        with measured(taken):
            world.turn(changed)
            snapshot = world.snapshot("edge")
            assert snapshot
            stream, (reply,) = step(stream, snapshot)
            body = (write_delta_reply if delta else write_reply)(reply, "haldane")
    case = f"{count} services on a port, {kind}"
    return [
        Row("CPU for one step, up to the bytes", case, statistics.median(taken), "ms"),
        Row("bytes of one step to one proxy", case, len(body), "B"),
    ]


def _accept(reply: Reply, delta: bool) -> Request | DeltaRequest:
    if delta:
        return DeltaRequest(RDS, nonce=reply.nonce)
    return Request(RDS, (TABLE,), reply.version, reply.nonce)


def run() -> list[Row]:
    """All of them."""
    rows = []
    for kind in ("sotw", "delta"):
        rows += asyncio.run(first_request(kind))
        for count in (1, 100, 1000):
            rows += one_step(count, kind)
    for streams, connections in CROWDS:
        for kind in ("sotw", "delta") if streams == 1000 else ("sotw",):
            rows += alone(streams, connections, kind)
    return [*rows, *first_snapshot(1000)]
