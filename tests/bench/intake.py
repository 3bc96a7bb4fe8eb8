"""What the reports of proxies cost the controller: load reports and flushes of metrics, as a real Envoy sends them.

A real Envoy with busy services is recorded first. Fifty proxies then replay its messages to the controller's handlers,
and in turns to handlers that drop them.
"""

import asyncio
import gc
import itertools
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from google.protobuf.duration_pb2 import Duration

from controller.bootstrap import render
from controller.core.traffic.book import Book
from controller.demo.harness.child_processes import Children, children
from controller.pb.haldane.wire.v1.load_stats_pb2 import LoadStatsResponse
from controller.pb.haldane.wire.v1.metrics_pb2 import StreamMetricsMessage
from controller.process.clock import SystemClock
from controller.process.logs import configure_logs
from controller.runtime.report_totals import ReportTotals
from controller.runtime.stranger_log import StrangerLog
from controller.telemetry.load_reporting_service import SERVICE as LRS
from controller.telemetry.load_reporting_service import LoadReportingService
from controller.telemetry.metrics_service import SERVICE as METRICS
from controller.telemetry.metrics_service import MetricsService
from controller.telemetry.reporters import Reporters
from controller.xds.limits import Limits
from controller.xds.server import XdsServer, make_grpc_server
from tests.bench import Row
from tests.bench.crowd import child, line, say
from tests.bench.floor import multiplications
from tests.fakes.admission import EveryoneAdmitted
from tests.fakes.meter import FakeMeter
from tests.support.envoy import EnvoyProcess
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.xds.views import service, view

SERVICES = (1, 10, 100)
RECORDED = 8
"""Flushes of metrics that are recorded, after the first ones, in which not everything is there yet."""
ROUNDS = 3
PROXIES = 50
MOST_EACH = 60
"""Messages of each proxy in one round; more than a hundred in a second are refused."""
BYTES = 150e6
"""Of all messages of one round, about."""
ASKED = LoadStatsResponse(send_all_clusters=True, load_reporting_interval=Duration(nanos=200_000_000))

Handlers = tuple[Any, ...]
"""Generic handlers of gRPC."""


@dataclass
class Recording:
    """Messages of one Envoy, as bytes. Whoever replays them sends the first of each kind first."""

    services: int
    loads: list[bytes] = field(default_factory=list)
    metrics: list[bytes] = field(default_factory=list)

    def handlers(self) -> Handlers:
        """For a port: they record."""

        async def serve_loads(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
            await context.write(ASKED.SerializeToString())
            async for data in requests:
                self.loads.append(data)

        async def serve_metrics(requests: AsyncIterator[bytes], _context: object) -> bytes:
            async for data in requests:
                self.metrics.append(data)
            return b""

        return handlers_of(serve_loads, serve_metrics)

    def is_steady(self) -> bool:
        """Whether enough flushes have come that have the same metrics, as those of an Envoy that has run for a while:
        one with others is read name by name."""
        newest = [StreamMetricsMessage.FromString(data) for data in self.metrics[1:][-RECORDED:]]
        counts = [len(message.envoy_metrics) for message in newest]
        return len(counts) == RECORDED and len(set(counts)) == 1

    def clusters(self) -> list[str]:
        """The clusters of its services."""
        return [f"s{number:04}/{version}" for number in range(self.services) for version in ("v1", "v2")]


def handlers_of(serve_loads: Any, serve_metrics: Any) -> Handlers:
    """These two as Envoy calls them."""
    return (
        grpc.method_handlers_generic_handler(
            LRS, {"StreamLoadStats": grpc.stream_stream_rpc_method_handler(serve_loads)}
        ),
        grpc.method_handlers_generic_handler(
            METRICS, {"StreamMetrics": grpc.stream_unary_rpc_method_handler(serve_metrics)}
        ),
    )


async def record(services: int) -> Recording:
    """What an Envoy reports of so many services, each with two busy versions."""
    made, xds, entry = Recording(services), XdsServer(clock=SystemClock(), limits=Limits(names=10_000)), free_port()
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(answering())
        versions = {version: [f"127.0.0.1:{model}"] for version in ("v1", "v2")}
        states = (
            service(
                f"s{number:04}", port=entry, hosts=(f"s{number:04}.example",), versions=versions, canary=("v2", 5000)
            )
            for number in range(services)
        )
        xds.publish(view(1, *states))
        port = await stack.enter_async_context(port_open((*xds.handlers(), *made.handlers())))
        group = stack.enter_context(children())
        await (await started(group, port)).start()
        await wait_until(lambda: [proxy.state for proxy in xds.proxies()] == ["SYNCED"], 120)
        load = asyncio.create_task(keep_busy(entry, services))
        await wait_until(made.is_steady, 120)
        load.cancel()
    made.loads = [made.loads[0], *made.loads[-RECORDED:]]
    made.metrics = [made.metrics[0], *made.metrics[-RECORDED:]]
    return made


async def started(group: Children, port: int) -> EnvoyProcess:
    """An Envoy of the bootstrap that Haldane prints."""
    text = render(fleet="edge", xds=f"127.0.0.1:{port}", envoy_admin=f"127.0.0.1:{free_port()}")
    return EnvoyProcess(group, text)


async def keep_busy(entry: int, services: int) -> None:
    """Requests to all services in turn, until cancelled."""
    async with aiohttp.ClientSession() as session:

        async def send(number: int) -> None:
            async with session.get(f"http://127.0.0.1:{entry}/", headers={"host": f"s{number % services:04}.example"}):
                pass

        for number in itertools.count(step=10):
            await asyncio.gather(*(send(number + each) for each in range(10)))


@asynccontextmanager
async def answering() -> AsyncIterator[int]:
    """A port where every request of HTTP is answered."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def port_open(handlers: Handlers) -> AsyncIterator[int]:
    """A port with these handlers."""
    server = make_grpc_server(Limits(names=10_000), ("grpc.max_receive_message_length", -1))
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def dropping() -> Handlers:
    """Handlers that take messages and drop them: what gRPC takes by itself."""

    async def drop_loads(requests: AsyncIterator[bytes], _context: object) -> None:
        async for _ in requests:
            pass

    async def drop_metrics(requests: AsyncIterator[bytes], _context: object) -> bytes:
        async for _ in requests:
            pass
        return b""

    return handlers_of(drop_loads, drop_metrics)


def counting(made: Recording, judged: int) -> Handlers:
    """The controller's handlers, with a book that observes all the services, so many of which have a canary."""
    book = Book()
    book.track_clusters(made.clusters())
    return handlers_of_sink(made, book, judged)


def handlers_of_sink(made: Recording, book: Book, judged: int) -> Handlers:
    """The same with that book."""
    reporters = Reporters(
        EveryoneAdmitted(book), StrangerLog(SystemClock()), ReportTotals(SystemClock()), FakeMeter(), SystemClock()
    )
    reports = LoadReportingService(book, reporters, SystemClock(), interval=0.2, on_news=lambda _: None)
    metrics = MetricsService(book, reporters, SystemClock())
    now = view(1, *(service(f"s{number:04}", canary=("v2", 5000)) for number in range(judged)))
    reports.on_view(now)
    metrics.on_view(now)
    return (*reports.handlers(), *metrics.handlers())


async def cost(process: asyncio.subprocess.Process, handlers: Handlers) -> float:
    """Microseconds of this process's CPU for each message that the reporters send to a port with these handlers."""
    async with port_open(handlers) as port:
        gc.collect()
        begun = time.process_time()
        say(process, f"127.0.0.1:{port}")
        taken = await line(process)
        return (time.process_time() - begun) / taken * 1e6


async def intake(made: Recording, what: str, method: str, messages: list[bytes]) -> list[Row]:
    """What one message costs, in turns with what gRPC takes by itself."""
    size = statistics.mean(map(len, messages[1:]))
    each = round(min(MOST_EACH, max(3, BYTES / size / PROXIES)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "messages.json"
        file.write_text(json.dumps([message.hex() for message in messages]))
        async with child("tests.bench.reporters", method, str(PROXIES), str(each), str(file)) as process:
            floors, costs, loops = [], defaultdict[int, list[float]](list), []
            for _ in range(ROUNDS):
                floors.append(await cost(process, dropping()))
                for judged in sorted({0, 1, made.services}):
                    costs[judged].append(await cost(process, counting(made, judged)))
                loops.append(multiplications())
    floor, loop = statistics.median(floors), statistics.median(loops)
    case = f"{made.services} services"
    rows = [Row(f"size of a {what}", case, size / 1024, "KB"), Row(f"a {what} dropped by gRPC, CPU", case, floor, "us")]
    for judged, whole in costs.items():
        case = f"{made.services} services, {judged} with a canary"
        rows.append(Row(f"a {what}, CPU", case, statistics.median(whole), "us"))
        rows.append(Row("the same beside gRPC alone", case, statistics.median(whole) / floor, "x"))
        rows.append(Row("the same in loops of 1000 multiplications", case, statistics.median(whole) / loop, "x"))
    return rows


async def all_of(services: int) -> list[Row]:
    """Both kinds of reports of an Envoy with so many services."""
    made = await record(services)
    return [
        *await intake(made, "load report", f"/{LRS}/StreamLoadStats", made.loads),
        *await intake(made, "flush of metrics", f"/{METRICS}/StreamMetrics", made.metrics),
    ]


def run() -> list[Row]:
    """All of them."""
    configure_logs("error")
    return [row for services in SERVICES for row in asyncio.run(all_of(services))]
