"""A crowd of xDS clients: what a step to all of them takes and costs, and what each of them costs."""

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
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from controller.process.clock import SystemClock
from controller.process.gc_tuning import tune_gc
from controller.xds.limits import Limits
from controller.xds.resources.type_urls import RDS
from controller.xds.server import XdsServer, make_grpc_server
from tests.bench import Row
from tests.bench.floor import Floor, multiplications
from tests.support.waiting import wait_until
from tests.xds.views import service, view

OPENING = 64
"""Streams of a crowd that open at the same time."""
WARM, STEPS = 2, 15
"""Steps before those that are measured, and those: a median of fewer is not the same twice."""
DEFAULT_THRESHOLDS = gc.get_threshold()
LIMITS = Limits(names=10_000, message_bytes=1024 * 1024)
TABLE = "127.0.0.1:10000"


@dataclass
class Acks:
    """Counts acknowledgements of routes, and remembers when the newest came."""

    count: int = 0
    last: float = 0.0
    lines: list[str] = field(default_factory=list)

    def on_ack(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """One more."""
        self.count += type_url == RDS
        self.last = time.monotonic()

    def on_nack(self, node: str, fleet: str, type_url: str, error: str, *, is_new: bool) -> None:
        """Never, here."""
        raise AssertionError(error)

    def on_connect(self, node: str, fleet: str) -> None:
        """A stream stands."""

    def on_disconnect(self, node: str, fleet: str) -> None:
        """A stream is gone."""


@asynccontextmanager
async def serving(xds: XdsServer | Floor) -> AsyncIterator[int]:
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


async def crowd(streams: int, connections: int, kind: str, opening: int) -> list[Row]:
    """A weight step to many streams: from publishing it to the last acknowledgement, in turns with the floor."""
    tune_gc()
    acks = Acks()
    xds = XdsServer(clock=SystemClock(), limits=LIMITS, observer=acks)
    xds.publish(view(1, service()))
    case = f"{streams} streams, {connections} connections, {kind}" + (" at once" if opening == streams else "")

    def publish(number: int) -> None:
        xds.publish(view(2 + number, service(canary=("v2", 500 + number))))

    async with AsyncExitStack() as stack:
        before, start = resident(), time.monotonic()
        tries = await clients(stack, xds, streams, connections, kind, opening)
        joined = time.monotonic() - start
        await wait_until(lambda: acks.count >= streams)
        memory = (resident() - before) / streams / 1024
        floor_acks = Acks()
        floor = Floor(floor_acks, kind)
        await clients(stack, floor, streams, connections, kind, OPENING)
        await wait_until(lambda: floor_acks.count >= streams)
        steps, floors, loops = [], [], []
        for number in range(WARM + STEPS):
            steps.append(await one_push(partial(publish, number), acks, streams))
            floors.append(await one_push(partial(floor.publish, 2 + number), floor_acks, streams))
            loops.append(multiplications())
        del steps[:WARM], floors[:WARM]
        gc.unfreeze()
        gc.set_threshold(*DEFAULT_THRESHOLDS)
        with collecting() as collector:
            plain = [
                await one_push(partial(publish, n), acks, streams) for n in range(WARM + STEPS, 2 * (WARM + STEPS))
            ]
    taken, cpu = [step.taken for step in steps], statistics.median(step.cpu for step in steps)
    bare, loop = statistics.median(step.cpu for step in floors), statistics.median(loops)
    share = 100 * sum(collector) / sum(step.cpu for step in plain)
    return [
        Row("step to last ACK, median", case, statistics.median(taken), "ms"),
        Row("step to last ACK, worst", case, max(taken), "ms"),
        Row("CPU of the server for one step, median", case, cpu, "ms"),
        Row("the same for one stream", case, cpu / streams * 1000, "us"),
        Row("floor for one stream: a bare handler", case, bare / streams * 1000, "us"),
        Row("step to last ACK, of the floor's", case, ratio(steps, floors, "taken"), "x"),
        Row("CPU for one step, of the floor's", case, ratio(steps, floors, "cpu"), "x"),
        Row("a loop of 1000 multiplications", case, loop, "us"),
        Row("of it garbage collection, if it were not set", case, share, "%"),
        Row("memory of the server for one stream", case, memory, "KB"),
        Row("all streams standing after", case, joined, "s"),
        Row("streams tried again", case, tries - streams, ""),
    ]


@dataclass(frozen=True, slots=True)
class Push:
    """One step to a crowd: milliseconds to the last acknowledgement, and of the server's CPU."""

    taken: float
    cpu: float


def ratio(ours: list[Push], floors: list[Push], field: str) -> float:
    """How many times the floor's cost ours is: the median over pairs that were taken one after the other."""
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in zip(ours, floors, strict=True))


async def clients(
    stack: AsyncExitStack, server: XdsServer | Floor, streams: int, connections: int, kind: str, opening: int
) -> int:
    """Start the server and its crowd, for as long as the stack stands: how often a stream was tried."""
    port = await stack.enter_async_context(serving(server))
    words = (f"127.0.0.1:{port}", str(streams), str(connections), kind, TABLE, str(opening))
    tries: int = (await line(await stack.enter_async_context(child("tests.bench.clients", *words))))["tries"]
    return tries


async def one_push(publish: Callable[[], None], acks: Acks, streams: int) -> Push:
    """Publish a step, and wait until everybody has acknowledged it."""
    acks.count = 0
    spent, at = time.process_time(), time.monotonic()
    publish()
    await wait_until(lambda: acks.count >= streams, every=0.005)
    return Push((acks.last - at) * 1000, (time.process_time() - spent) * 1000)


@contextmanager
def collecting() -> Iterator[list[float]]:
    """The milliseconds of CPU that each garbage collection in the block takes."""
    found: list[float] = []
    started = 0.0

    def note(phase: str, _about: dict[str, int]) -> None:
        nonlocal started
        if phase == "start":
            started = time.thread_time()
        else:
            found.append((time.thread_time() - started) * 1000)

    gc.callbacks.append(note)
    try:
        yield found
    finally:
        gc.callbacks.remove(note)


def alone(streams: int, connections: int, kind: str, opening: int = OPENING) -> list[Row]:
    """The same in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_crowd, streams, connections, kind, opening).result()


def _crowd(streams: int, connections: int, kind: str, opening: int) -> list[Row]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return asyncio.run(crowd(streams, connections, kind, opening))
