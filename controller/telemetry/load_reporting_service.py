"""Envoy's load reporting service: how many requests of each version started, went well, failed.

Envoy pushes a report for every cluster it has, idle ones too, once in each interval. It goes on counting while it
cannot reach us, and its first report after that holds everything from the gap.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from controller.core.model.service import Service
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.reports import IDLE, Load
from controller.pb.haldane.wire.v1.load_stats_pb2 import ClusterStats, LoadStatsRequest, LoadStatsResponse
from controller.ports.clock import Clock
from controller.telemetry.report_streams import InvalidReport, OpenStreams, ReportStream, validate_count, validate_node

SERVICE = "envoy.service.load_stats.v3.LoadReportingService"
IDLE_INTERVAL = 2.0
"""Seconds between the reports of a proxy none of whose services is being rolled out: 61 KB each, whatever happens."""
MAX_CLUSTERS = 20_000
"""Clusters in one report."""

log = structlog.get_logger()


class LoadReportingService:
    """Writes what proxies report into the book. `on_news` is called when a window can be closed.

    While a rollout runs, the proxies that serve it report every `interval` seconds, all others at rest. `follow` tells
    which rollouts run; until it is called, none does.
    """

    def __init__(self, book: Book, clock: Clock, *, interval: float, on_news: Callable[[], None]) -> None:
        self._book = book
        self._clock = clock
        self._interval = interval
        self._on_news = on_news
        self._roster = OpenStreams()
        self._rolled_out: list[Service] = []
        self._pacers: set[_Pacer] = set()

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """What a gRPC server needs to serve it."""
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        return (grpc.method_handlers_generic_handler(SERVICE, {"StreamLoadStats": method}),)

    def follow(self, view: View) -> None:
        """Set the proxies' pace by the rollouts that run in this view."""
        states = view.services.values()
        self._rolled_out = [state.spec for state in states if state.rollout and state.rollout.running]
        for pacer in self._pacers:
            pacer.look()

    async def _serve(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        try:
            await self._listen(requests, context.write)
        except InvalidReport as refused:
            log.warning("load_report_refused", peer=context.peer(), reason=str(refused))
            await context.abort(refused.code, str(refused))

    async def _listen(self, requests: AsyncIterator[bytes], answer: Callable[[bytes], Awaitable[None]]) -> None:
        stream: ReportStream | None = None
        fleet = ""
        pacer = _Pacer(self._pace_of, answer)
        try:
            async for data in requests:
                now = self._clock.monotonic()
                report = _parsed(data)
                if stream is None:
                    stream = self._roster.enter(validate_node(report.node.id), now)
                    fleet = report.node.cluster  # who reports says so once: later messages need not repeat it
                    log.info("load_reports_opened", node=stream.node, fleet=fleet)
                    self._pacers.add(pacer)
                    pacer.start(fleet)
                stream.count(now)
                if self._book.loads(stream.key, _loads(report), self._pace_of(fleet), now):
                    self._on_news()
        finally:
            if stream:
                self._end(stream)
                self._pacers.discard(pacer)
                await pacer.end()

    def _pace_of(self, fleet: str) -> float:
        watched = any(service.in_fleet(fleet) for service in self._rolled_out)
        return self._interval if watched else max(self._interval, IDLE_INTERVAL)

    def _end(self, stream: ReportStream) -> None:
        self._roster.leave(stream)
        self._book.left(stream.key)
        lasted = round(self._clock.monotonic() - stream.opened, 3)
        log.info("load_reports_ended", node=stream.node, reports=stream.messages, seconds=lasted)
        self._on_news()


class _Pacer:
    """Tells one proxy how often to report, at first and whenever that changes."""

    def __init__(self, pace_of: Callable[[str], float], answer: Callable[[bytes], Awaitable[None]]) -> None:
        self._pace_of = pace_of
        self._answer = answer
        self._wake = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def start(self, fleet: str) -> None:
        """Begin with a proxy of this fleet."""
        self._task = asyncio.create_task(self._run(fleet))

    def look(self) -> None:
        """The pace may have changed."""
        self._wake.set()

    async def end(self) -> None:
        """Write no more. Never cancelled within a write: gRPC would then forget to tell the proxy of the end."""
        self._over = True
        self._wake.set()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)  # a write fails when the proxy has gone

    async def _run(self, fleet: str) -> None:
        told = None
        while not self._over:
            self._wake.clear()
            interval = self._pace_of(fleet)
            if interval != told:
                await self._answer(_asked(interval))
                told = interval
            await self._wake.wait()


def _asked(interval: float) -> bytes:
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


def _loads(report: LoadStatsRequest) -> dict[str, Load]:
    """What it says by cluster, all of it checked before any of it counts."""
    return {stats.cluster_name: _load(stats) for stats in report.cluster_stats}


def _load(stats: ClusterStats) -> Load:
    started = ok = errors = 0
    for here in stats.upstream_locality_stats:
        started += here.total_issued_requests
        ok += here.total_successful_requests
        errors += here.total_error_requests
    if not (started or ok or errors):
        return IDLE
    return Load(
        started=validate_count(started, "total_issued_requests"),
        ok=validate_count(ok, "total_successful_requests"),
        errors=validate_count(errors, "total_error_requests"),
    )
