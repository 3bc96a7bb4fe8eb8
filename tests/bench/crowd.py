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

from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.process.clock import SystemClock
from controller.process.event_loop import EventLoop
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


@dataclass(frozen=True, slots=True)
class Case:
    """A crowd: how many streams over how many connections, with how many services on their port."""

    streams: int
    connections: int
    kind: str = "sotw"
    services: int = 1
    opening: int = OPENING

    def __str__(self) -> str:
        services = f", {self.services} services" if self.services > 1 else ""
        at_once = " at once" if self.opening == self.streams else ""
        return f"{self.streams} streams, {self.connections} connections, {self.kind}{services}{at_once}"

    def view(self, number: int) -> View:
        """What is served at that step: one service moves its weight."""
        moved = service("s0000", hosts=("s0000.example",), canary=("v2", 500 + number))
        return view(1 + number, moved, *many(self.services)[1:])


def many(count: int) -> list[ServiceState]:
    """So many services on one port."""
    return [service(f"s{number:04}", hosts=(f"s{number:04}.example",)) for number in range(count)]


async def crowd(case: Case) -> list[Row]:
    """A weight step to many streams: from publishing it to the last acknowledgement, in turns with the floor."""
    tune_gc()
    acks, floor_acks = Acks(), Acks()
    xds = XdsServer(clock=SystemClock(), limits=LIMITS, observer=acks)
    xds.publish(case.view(0))
    floor = Floor(floor_acks, case.kind, case.view(0))
    async with AsyncExitStack() as stack:
        ours = await join(stack, xds, acks, case)
        bare = await join(stack, floor, floor_acks, case)
        steps, floors, loops = [], [], []
        for number in range(1, 1 + WARM + STEPS):
            newest = case.view(number)
            steps.append(await one_push(partial(xds.publish, newest), acks, case.streams))
            floors.append(await one_push(partial(floor.publish, newest), floor_acks, case.streams))
            loops.append(multiplications())
        del steps[:WARM], floors[:WARM]
        gc.unfreeze()
        gc.set_threshold(*DEFAULT_THRESHOLDS)
        with collecting() as collector:
            plain = [
                await one_push(partial(xds.publish, case.view(number)), acks, case.streams)
                for number in range(100, 100 + STEPS)
            ]
    share = 100 * sum(collector) / sum(step.cpu for step in plain)
    return [
        *push_rows(case, steps, floors),
        Row("a loop of 1000 multiplications", str(case), statistics.median(loops), "us"),
        Row("of it garbage collection, if it were not set", str(case), share, "%"),
        *join_rows(case, ours, bare),
    ]


def push_rows(case: Case, steps: list["Push"], floors: list["Push"]) -> list[Row]:
    """What a step takes and costs, and the same of the floor."""
    cpu, bare = statistics.median(step.cpu for step in steps), statistics.median(step.cpu for step in floors)
    return [
        Row("step to last ACK, median", str(case), statistics.median(step.taken for step in steps), "ms"),
        Row("step to last ACK, worst", str(case), max(step.taken for step in steps), "ms"),
        Row("CPU of the server for one step, median", str(case), cpu, "ms"),
        Row("the same for one stream", str(case), cpu / case.streams * 1000, "us"),
        Row("floor for one stream: a bare handler", str(case), bare / case.streams * 1000, "us"),
        Row("step to last ACK, of the floor's", str(case), ratio(steps, floors, "taken"), "x"),
        Row("CPU for one step, of the floor's", str(case), ratio(steps, floors, "cpu"), "x"),
    ]


@dataclass(frozen=True, slots=True)
class Join:
    """A crowd that came: seconds until all were served, the server's CPU for one stream (us), its memory for one (KB),
    the longest wait for a turn of the event loop (ms), and how often a stream was tried again."""

    taken: float
    cpu: float
    memory: float
    lag: float
    retries: int


def join_rows(case: Case, ours: Join, floor: Join) -> list[Row]:
    """What joining takes and costs, and the same of the floor."""
    return [
        Row("memory of the server for one stream", str(case), ours.memory, "KB"),
        Row("the floor's", str(case), floor.memory, "KB"),
        Row("all streams standing after", str(case), ours.taken, "s"),
        Row("the same, the floor's", str(case), floor.taken, "s"),
        Row("CPU of the server for one that joins", str(case), ours.cpu, "us"),
        Row("the same, of the floor's", str(case), ours.cpu / floor.cpu, "x"),
        Row("longest lag of the event loop meanwhile", str(case), ours.lag, "ms"),
        Row("streams tried again", str(case), ours.retries, ""),
    ]


async def join(stack: AsyncExitStack, server: XdsServer | Floor, acks: Acks, case: Case) -> Join:
    """Start the server and its crowd, for as long as the stack stands."""
    port = await stack.enter_async_context(serving(server))
    before, start, spent = resident(), time.monotonic(), time.process_time()
    probe = asyncio.create_task(longest_lag())
    words = (f"127.0.0.1:{port}", *map(str, (case.streams, case.connections, case.kind, TABLE, case.opening)))
    process = await stack.enter_async_context(child("tests.bench.clients", *words))
    tries: int = (await line(process))["tries"]
    await wait_until(lambda: acks.count >= case.streams)
    taken, cpu = time.monotonic() - start, (time.process_time() - spent) / case.streams * 1e6
    probe.cancel()
    memory = (resident() - before) / case.streams / 1024
    return Join(taken, cpu, memory, await probe, tries - case.streams)


async def longest_lag() -> float:
    """Until cancelled: the most milliseconds by which a timer was late."""
    longest = 0.0
    try:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            longest = max(longest, (time.monotonic() - due) * 1000)
    except asyncio.CancelledError:
        return longest


@dataclass(frozen=True, slots=True)
class Push:
    """One step to a crowd: milliseconds to the last acknowledgement, and of the server's CPU."""

    taken: float
    cpu: float


def ratio(ours: list[Push], floors: list[Push], field: str) -> float:
    """How many times the floor's cost ours is: the median over pairs that were taken one after the other."""
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in zip(ours, floors, strict=True))


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


def alone(case: Case) -> list[Row]:
    """The same in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_crowd, case).result()


def _crowd(case: Case) -> list[Row]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        return runner.run(crowd(case))
