"""Envoy's load reporting service (LRS): how many requests of each version started, succeeded and failed.

Envoy pushes a report for every cluster that it has, idle ones too, once in each interval. It continues to count while
it cannot reach the controller, and its first report after that has everything of the gap.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from controller.core.access.proxy_gate import OPEN, ProxyGate
from controller.core.model.view import View
from controller.core.traffic.held_reports import HeldLoads
from controller.core.traffic.reports import IDLE, ClusterLoad
from controller.pb.haldane.wire.v1.load_stats_pb2 import LoadStatsRequest, LoadStatsResponse, LocalityStats
from controller.ports.clock import Clock
from controller.ports.report_admission import NotCounted, Reporter
from controller.ports.report_sink import ReportSink
from controller.telemetry.judged_services import has_canary
from controller.telemetry.report_pace import MEASURE_EVERY, ReportPace
from controller.telemetry.report_streams import (
    MAX_COUNT,
    InvalidReport,
    OpenStreams,
    ReportStream,
    validate_count,
    validate_reporter,
)
from controller.telemetry.report_turns import ReportTurns
from controller.telemetry.reporters import Reporters

SERVICE = "envoy.service.load_stats.v3.LoadReportingService"
IDLE_INTERVAL = 2.0
"""Seconds between the reports of a proxy that sends nothing to a canary. A report is 61 KB even if nothing happens.

A silent proxy is waited for for two intervals (`awaited_reports.PATIENCE`). That must be shorter than the silence that
makes the judge blind (`arrivals.BLIND_AFTER`): it may begin just when a canary gets its first traffic."""
MAX_CLUSTERS = 20_000
"""Clusters in one report."""

_LOAD_FIELDS = (
    "total_issued_requests",
    "total_successful_requests",
    "total_error_requests",
    "total_requests_in_progress",
)
"""Envoy's names of the fields of a `ClusterLoad`."""

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[bytes, bytes]


class LoadReportingService:
    """Writes the load reports of proxies into the book, of each the clusters that count (`Reporters`). `on_news` is
    called with the services whose windows can be closed.

    While a canary has weight, so that it can do harm, the proxies of its fleets report every `interval` seconds, or
    less often while this controller cannot take that (`run`); all others every `IDLE_INTERVAL`. The interval changes on
    the open stream: it begins when Envoy is told, and the next report has everything since the last one. `on_view`
    learns the weights; before its first call there are none.
    """

    def __init__(
        self,
        book: ReportSink,
        reporters: Reporters,
        clock: Clock,
        *,
        interval: float,
        on_news: Callable[[Iterable[str]], None],
        turns: ReportTurns | None = None,
    ) -> None:
        self._turns = turns or ReportTurns()
        self._book = book
        self._reporters = reporters
        self._clock = clock
        self._pace = ReportPace(shortest=interval, longest=IDLE_INTERVAL)
        reporters.pace(interval, None)
        self._on_news = on_news
        self._gate = OPEN
        self._streams = OpenStreams()
        self._canary_fleets: frozenset[str] = frozenset()
        self._canary_everywhere = False
        """Whether a service of every fleet has a canary with weight."""
        self._intervals: set[_ReportInterval] = set()

    def handlers(self, gate: ProxyGate = OPEN) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For the xDS port. `gate` knows who is at the other end there."""
        self._gate = gate
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        return (grpc.method_handlers_generic_handler(SERVICE, {"StreamLoadStats": method}),)

    def on_view(self, view: View) -> None:
        """Set the report intervals by the weights of the canaries in this view."""
        specs = [state.spec for state in view.services.values() if has_canary(state)]
        everywhere = not all(spec.fleets for spec in specs)
        fleets = frozenset(fleet for spec in specs for fleet in spec.fleets)
        if (everywhere, fleets) != (self._canary_everywhere, self._canary_fleets):
            self._canary_everywhere, self._canary_fleets = everywhere, fleets
            self._update_intervals()

    @property
    def flushes(self) -> int:
        """Of how many flushes of metrics of a proxy one should be read: more than one while this controller cannot take
        all that proxies report, so that it asks for less."""
        return self._pace.flushes

    async def run(self) -> None:
        """Pace the reports by what this controller can take, until cancelled."""
        while True:
            begun, used = self._clock.monotonic(), time.process_time()
            await asyncio.sleep(MEASURE_EVERY)
            passed = self._clock.monotonic() - begun
            lag = max(passed - MEASURE_EVERY, self._turns.longest_wait)
            busy = (time.process_time() - used) / passed
            if self._pace.measure(lag, busy):
                log.warning(
                    "reports_paced",
                    interval=self._pace.interval,
                    flushes=self._pace.flushes,
                    lag=round(lag, 3),
                    busy=round(busy, 2),
                )
                self._reporters.pace(self._pace.interval, self._pace.paced)
                self._update_intervals()

    async def _serve(self, requests: AsyncIterator[bytes], context: Context) -> None:
        try:
            await self._receive(requests, context)
        except InvalidReport as error:
            log.warning("load_report_refused", peer=context.peer(), reason=str(error))
            await context.abort(error.code, str(error))

    async def _receive(self, requests: AsyncIterator[bytes], context: Context) -> None:
        stream: ReportStream | None = None
        held = HeldLoads()
        interval = _ReportInterval(self._interval_of, context.write)
        try:
            async for data in requests:
                await self._turns.turn()
                now = self._clock.monotonic()
                report = _parsed(data)
                if stream is None:
                    # Only the first message must say who reports.
                    identity = self._gate.identity(context.auth_context())
                    reporter = Reporter(report.node.id, report.node.cluster, context.peer(), identity)
                    validate_reporter(reporter)
                    stream = self._streams.open(reporter, now)
                    log.info("load_reports_opened", node=reporter.node, fleet=reporter.fleet)
                    self._intervals.add(interval)
                    interval.start(reporter.fleet)
                stream.count_message(now)
                self._count(stream, held, _loads(report, self._book.own), now)
                del data, report  # 60 KB of each proxy would be kept until its next one
        finally:
            if stream:
                self._end(stream)
                self._intervals.discard(interval)
                await interval.end()

    def _count(self, stream: ReportStream, held: HeldLoads, loads: Mapping[str, ClusterLoad], now: float) -> None:
        """Write into the book what counts of a report."""
        admission = self._reporters.check(stream)
        if admission.reason is NotCounted.EXCLUDED:
            held.discard()
            self._leave(stream)
            return
        loads = held.admit(loads, self._book.observed, admission.clusters)
        if held.has_requests and admission.reason is None:
            self._reporters.note(stream, NotCounted.NOT_ACKNOWLEDGED)
        elif admission.reason is None:
            self._reporters.forget(stream)
        if not admission.clusters:
            return
        self._streams.name(stream)
        self._reporters.count(stream, loads)
        interval = self._interval_of(stream.reporter.fleet)
        if complete := self._book.on_load_report(stream.key, loads, interval, now):
            self._on_news(complete)

    def _interval_of(self, fleet: str) -> float:
        often = self._canary_everywhere or fleet in self._canary_fleets
        return self._pace.interval if often else IDLE_INTERVAL

    def _update_intervals(self) -> None:
        for interval in self._intervals:
            interval.update()

    def _end(self, stream: ReportStream) -> None:
        self._reporters.end(stream)
        self._leave(stream)
        self._streams.close(stream)
        lasted = round(self._clock.monotonic() - stream.opened_at, 3)
        log.info("load_reports_ended", node=stream.reporter.node, reports=stream.messages, seconds=lasted)

    def _leave(self, stream: ReportStream) -> None:
        """Its reports count no longer, and none is waited for."""
        key = stream.key
        self._streams.unname(stream)
        if key:
            self._book.on_load_reports_end(key)
            self._on_news(self._book.complete_windows(self._clock.monotonic()))


class _ReportInterval:
    """Sends one proxy its report interval, at first and whenever it changes."""

    def __init__(self, interval_of: Callable[[str], float], send: Callable[[bytes], Awaitable[None]]) -> None:
        self._interval_of = interval_of
        self._send = send
        self._wake = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def start(self, fleet: str) -> None:
        """Start, for a proxy of this fleet."""
        self._task = asyncio.create_task(self._run(fleet))

    def update(self) -> None:
        """The interval may have changed."""
        self._wake.set()

    async def end(self) -> None:
        """Send no more. A write is never cancelled: gRPC would then not send the status that ends the stream."""
        self._over = True
        self._wake.set()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)  # a write fails when the proxy has gone

    async def _run(self, fleet: str) -> None:
        sent = None
        while not self._over:
            self._wake.clear()
            interval = self._interval_of(fleet)
            if interval != sent:
                await self._send(_response(interval))
                sent = interval
            await self._wake.wait()


def _response(interval: float) -> bytes:
    nanos = round(interval * 1e9)
    duration = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
    return LoadStatsResponse(send_all_clusters=True, load_reporting_interval=duration).SerializeToString()


def _parsed(data: bytes) -> LoadStatsRequest:
    try:
        report = LoadStatsRequest.FromString(data)
    except DecodeError:
        raise InvalidReport("this is not a LoadStatsRequest") from None
    if len(report.cluster_stats) > MAX_CLUSTERS:
        raise InvalidReport(f"a report holds at most {MAX_CLUSTERS} clusters", grpc.StatusCode.RESOURCE_EXHAUSTED)
    return report


def _loads(report: LoadStatsRequest, own: Mapping[str, str]) -> dict[str, ClusterLoad]:
    """The load by cluster, all of it checked before any of it counts. `own`: the operators' own clusters, and by what
    name each is observed."""
    return {
        own.get(stats.cluster_name, stats.cluster_name): (
            _load(localities) if (localities := stats.upstream_locality_stats) else IDLE
        )
        for stats in report.cluster_stats
    }


def _load(localities: Iterable[LocalityStats]) -> ClusterLoad:
    started = ok = errors = in_progress = 0
    for locality in localities:
        started += locality.total_issued_requests
        ok += locality.total_successful_requests
        errors += locality.total_error_requests
        in_progress += locality.total_requests_in_progress
    load = ClusterLoad(started, ok, errors, in_progress)
    if sum(load) > MAX_COUNT:  # they are never negative
        for what, value in zip(_LOAD_FIELDS, load, strict=True):
            validate_count(value, what)
    return load
