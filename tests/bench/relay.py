"""What the proxies of another controller cost the one that decides: 1000 of them, with a canary, in one second.

Each sends five load reports and two flushes of metrics in that second. In turns they come as Envoy sends them, and as
another controller passes them on, twenty batches of them.
"""

import asyncio
import contextlib
import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from controller.core.model.member import Member
from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import Split
from controller.core.traffic.report_log import ReportLog
from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.process.clock import SystemClock
from controller.process.logs import configure_logs
from controller.process.right_of_way import RightOfWay
from controller.relay.batch_messages import batch_message
from controller.relay.relay_service import RelayService
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.fleet_reports import FLUSH_EVERY, FleetReports
from controller.runtime.membership import Membership
from controller.runtime.replica import Replica
from controller.store.memory import MemoryStore
from controller.telemetry.load_reporting_service import SERVICE as LRS
from controller.telemetry.metrics_service import SERVICE as METRICS
from tests.bench import Row
from tests.bench.crowd import child
from tests.bench.intake import Handlers, Recording, cost, handlers_of_sink, record
from tests.fakes.fleet import FakeFleet
from tests.xds.views import service, view

SERVICES = (1, 10)
ROUNDS = 3
PROXIES = 1000
LOADS, FLUSHES = 5, 2
"""Of each proxy in a second."""
REPORTERS = 50
"""Proxies that send the very messages."""
MOST = 60e6
"""Bytes of one round of them."""
BATCHES = round(1 / FLUSH_EVERY)


class Listener(Book):
    """A book that keeps what it was told of one proxy."""

    def __init__(self, clusters: list[str]) -> None:
        super().__init__()
        self.track_clusters(clusters)
        self.loads: list[Mapping[str, ClusterLoad]] = []
        self.flushes: list[tuple[Mapping[tuple[str, CounterKind], int], ProxyMetrics]] = []

    def on_load_report(  # type: ignore[override]
        self, proxy: str, loads: Mapping[str, ClusterLoad], interval: float, now: float
    ) -> list[str]:
        self.loads.append(loads)
        return super().on_load_report(proxy, loads, interval, now)

    def on_metrics(self, proxy: str, metrics: ProxyMetrics, now: float) -> Mapping[tuple[str, CounterKind], int]:
        risen = super().on_metrics(proxy, metrics, now)
        self.flushes.append((risen, metrics))
        return risen


async def heard(made: Recording) -> Listener:
    """What a controller understands of the recorded messages."""
    listener = Listener(made.clusters())
    with tempfile.TemporaryDirectory() as folder:
        for method, messages in ((f"/{LRS}/StreamLoadStats", made.loads), (f"/{METRICS}/StreamMetrics", made.metrics)):
            file = write(Path(folder), messages)
            async with child("tests.bench.reporters", method, "1", str(len(messages)), file) as process:
                await cost(process, handlers_of_sink(made, listener, made.services))
    return listener


def write(folder: Path, messages: list[bytes]) -> str:
    """A file of messages."""
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps([message.hex() for message in messages]))
    return str(file)


def each(messages: list[bytes]) -> str:
    """How many messages each of the reporters sends, so that a round takes seconds."""
    return str(max(3, min(60, round(MOST / REPORTERS / max(map(len, messages))))))


def relayed(made: Recording, listener: Listener) -> list[bytes]:
    """One second of many proxies, as another controller passes it on."""
    log = ReportLog()
    hello = pb.Update(hello=pb.Hello(instance="two", name="two"))
    messages = [hello.SerializeToString()]
    for number in range(BATCHES):
        for index in range(PROXIES * LOADS // BATCHES):
            loads = listener.loads[1 + (number + index) % (len(listener.loads) - 1)]
            log.add_load(f"bench-{(number * PROXIES * LOADS // BATCHES + index) % PROXIES}", loads, 0.2)
        for index in range(PROXIES * FLUSHES // BATCHES):
            risen, metrics = listener.flushes[1 + (number + index) % (len(listener.flushes) - 1)]
            log.add_metrics(f"bench-{(number * PROXIES * FLUSHES // BATCHES + index) % PROXIES}", risen, metrics)
        log.set_splits({f"s{each:04}": Split("v2=5000 v1=5000 copies=0 r", {}) for each in range(made.services)})
        while batch := log.next():
            messages.append(pb.Update(batch=batch_message(batch)).SerializeToString())
            log.acknowledge(batch.number, batch.number)
    return messages


@contextlib.contextmanager
def reading(made: Recording) -> Iterator[Handlers]:
    """The handlers of the one that decides, for as long as it does."""
    clock = SystemClock()
    replica = Replica(Book(), clock)
    replica.on_view(view(1, *(service(f"s{number:04}", canary=("v2", 5000)) for number in range(made.services))))
    me = Member(instance="one", name="one", since=0.0, records=1)
    membership = Membership(MemoryStore(clock=clock).members, me, revision=lambda: 1, proxies=lambda: 0)
    edge = EdgeReports(Book(), ReportLog(), FakeFleet(), replica.view)
    reports = FleetReports(edge, FakeFleet(), membership, replica, clock)  # type: ignore[arg-type]
    reports.book.track_clusters(made.clusters())
    relay = RelayService(RightOfWay())
    with relay.deciding(reports):
        yield relay.handlers()


async def compare(services: int) -> list[Row]:
    """Both ways, in turns."""
    made = await record(services)
    listener = await heard(made)
    messages = relayed(made, listener)
    direct, other = [], []
    with tempfile.TemporaryDirectory() as folder:
        loads, metrics, batches = (write(Path(folder), each) for each in (made.loads, made.metrics, messages))
        many = str(REPORTERS)
        async with (
            child("tests.bench.reporters", f"/{LRS}/StreamLoadStats", many, each(made.loads), loads) as load,
            child("tests.bench.reporters", f"/{METRICS}/StreamMetrics", many, each(made.metrics), metrics) as flush,
            child("tests.bench.relaying", batches) as relaying,
        ):
            for _ in range(ROUNDS):
                book = Book()
                book.track_clusters(made.clusters())
                of_load = await cost(load, handlers_of_sink(made, book, services))
                of_flush = await cost(flush, handlers_of_sink(made, book, services))
                direct.append(PROXIES * (LOADS * of_load + FLUSHES * of_flush) / 1000)
                with reading(made) as handlers:
                    other.append(len(messages) * await cost(relaying, handlers) / 1000)
    case = f"{PROXIES} proxies, {services} services with a canary"
    size, envoys = sum(map(len, messages)), sum(map(len, made.loads[1:])) / len(made.loads[1:]) * LOADS
    envoys += sum(map(len, made.metrics[1:])) / len(made.metrics[1:]) * FLUSHES
    a, b = statistics.median(direct), statistics.median(other)
    return [
        Row("a second of reports, from Envoys, CPU", case, a, "ms"),
        Row("the same, passed on by another controller", case, b, "ms"),
        Row("the same, of direct", case, b / a, "x"),
        Row("bytes from Envoys", case, envoys * PROXIES / 1e6, "MB"),
        Row("bytes passed on", case, size / 1e6, "MB"),
    ]


def run() -> list[Row]:
    """All of them."""
    configure_logs("error")
    return [row for services in SERVICES for row in asyncio.run(compare(services))]
