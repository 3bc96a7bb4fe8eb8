"""Envoy's metrics service: latencies, times to the first token, 4xx, how responses end, requests without an endpoint.

Envoy sends all of its metrics at each flush, hundreds for every cluster, since a filter in its configuration would
remove them from its own admin page too. So a family is looked up by its place or by the bytes of its name, and parsed
only if needed.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterable
from operator import attrgetter

import grpc
import structlog
from google.protobuf.message import DecodeError

from controller.core.access.proxy_gate import OPEN, ProxyGate
from controller.core.base.units import counted
from controller.core.model.cluster_names import cluster_parts
from controller.core.model.view import View
from controller.core.traffic.held_reports import HeldMetrics
from controller.core.traffic.latency_buckets import BUCKETS, bucket_of
from controller.core.traffic.reports import CounterKind, ProxyMetrics
from controller.core.traffic.response_flags import FIRST_TOKEN
from controller.pb.haldane.wire.v1.metrics_pb2 import Histogram, Metric, MetricFamily, StreamMetricsMessage
from controller.ports.clock import Clock
from controller.ports.report_admission import NotCounted, Reporter
from controller.ports.report_sink import ReportSink
from controller.telemetry.family_positions import FamilyPositions
from controller.telemetry.judged_services import is_judged
from controller.telemetry.report_streams import (
    InvalidReport,
    OpenStreams,
    ReportStream,
    validate_count,
    validate_reporter,
)
from controller.telemetry.report_turns import ReportTurns
from controller.telemetry.reporters import Reporters
from controller.telemetry.wanted_metrics import COUNTERS, HEALTHY, LATENCY, MEMBERS, UPTIME, Meaning, WantedMetrics

SERVICE = "envoy.service.metrics.v3.MetricsService"
MAX_BUCKETS = 1000
"""Buckets of one histogram."""
SAMPLED = 4
"""Of services that are not judged, one flush in so many is read. Counters are cumulative, so nothing of them is lost;
what people see of their latency is of a quarter of the requests."""
_CUMULATIVE = attrgetter("cumulative_count")

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[bytes, bytes]


class MetricsService:
    """Writes the metrics of proxies into the book, of each those of the clusters that count (`Reporters`).

    Those of services that are judged are read at each flush, so that harm is found soon; of the others, only how many
    healthy endpoints they have, and the rest at one flush in `SAMPLED`. `on_view` learns what is judged; before its
    first call nothing is. Of so many flushes as `read_one_in` says only one counts among these, the others are dropped,
    which costs a tenth of reading them.
    """

    def __init__(
        self,
        book: ReportSink,
        reporters: Reporters,
        clock: Clock,
        *,
        turns: ReportTurns | None = None,
        read_one_in: Callable[[], int] = lambda: 1,
    ) -> None:
        self._read_one_in = read_one_in
        self._turns = turns or ReportTurns()
        self._book = book
        self._reporters = reporters
        self._clock = clock
        self._gate = OPEN
        self._streams = OpenStreams()
        self._judged: frozenset[str] = frozenset()
        """The services that are judged."""
        self._urgent: frozenset[str] = frozenset()
        """Their clusters."""
        self._observed: frozenset[str] = frozenset()
        self._wanted = WantedMetrics((), {})

    def handlers(self, gate: ProxyGate = OPEN) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For the xDS port. `gate` knows who is at the other end there."""
        self._gate = gate
        method = grpc.stream_unary_rpc_method_handler(self._serve)
        return (grpc.method_handlers_generic_handler(SERVICE, {"StreamMetrics": method}),)

    def on_view(self, view: View) -> None:
        """Read what is judged in this view at each flush from now on."""
        judged = frozenset(state.name for state in view.services.values() if is_judged(state))
        if judged != self._judged:
            self._judged, self._urgent = judged, self._clusters_of(judged)

    async def _serve(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        try:
            await self._receive(requests, context)
        except InvalidReport as error:
            log.warning("metrics_refused", peer=context.peer(), reason=str(error))
            await context.abort(error.code, str(error))
        return b""

    async def _receive(self, requests: AsyncIterator[bytes], context: Context) -> None:
        stream: ReportStream | None = None
        held = HeldMetrics()
        positions: FamilyPositions[Meaning] = FamilyPositions()
        try:
            async for data in requests:
                if stream:
                    stream.count_message(self._clock.monotonic())
                    if not _is_one_in(self._read_one_in(), stream):
                        continue
                await self._turns.turn()
                now = self._clock.monotonic()
                message = _parsed(data)
                if stream is None:
                    stream = self._streams.open(self._reporter(message, context), now)
                    log.info("metrics_opened", node=stream.reporter.node, fleet=stream.reporter.fleet)
                    stream.count_message(now)
                self._update_wanted()
                everything = _is_one_in(SAMPLED * self._read_one_in(), stream)
                read = self._observed if everything else self._urgent
                metrics = _metered(positions.find(message.envoy_metrics, self._wanted), read)
                self._count(stream, held, metrics, now)
                del data, message  # 100 KB of each proxy would be kept until its next flush
        finally:
            if stream:
                self._end(stream)

    def _reporter(self, message: StreamMetricsMessage, context: Context) -> Reporter:
        """Who sends it. A part of a message that is kept would keep all of it."""
        node, identity = message.identifier.node, self._gate.identity(context.auth_context())
        return validate_reporter(Reporter(node.id, node.cluster, context.peer(), identity))

    def _count(self, stream: ReportStream, held: HeldMetrics, metrics: ProxyMetrics, now: float) -> None:
        """Write into the book what counts of a flush."""
        admitted, reason = self._reporters.check(stream)
        if reason is NotCounted.EXCLUDED:
            held.discard()
            if stream.key:
                self._book.forget_counters(stream.key)
                self._streams.unname(stream)
            return
        if admitted:
            self._streams.name(stream)
        for counting in held.admit(metrics, self._observed, admitted):
            self._book.on_metrics(stream.key, counting, now)

    def _end(self, stream: ReportStream) -> None:
        if stream.key:
            self._book.on_metrics_end(stream.key, ambiguous=self._streams.is_ambiguous(stream))
        self._reporters.end(stream)
        self._streams.close(stream)
        lasted = round(self._clock.monotonic() - stream.opened_at, 3)
        log.info("metrics_ended", node=stream.reporter.node, flushes=stream.messages, seconds=lasted)

    def _update_wanted(self) -> None:
        """Prepare what is wanted of the clusters that the book observes now."""
        if self._observed is not self._book.observed:
            self._observed = self._book.observed
            self._wanted = WantedMetrics(self._observed, self._book.own)
            self._urgent = self._clusters_of(self._judged)

    def _clusters_of(self, services: frozenset[str]) -> frozenset[str]:
        """The observed clusters of these services."""
        return frozenset(n for n in self._observed if (parts := cluster_parts(n)) and parts.service in services)


def _is_one_in(number: int, stream: ReportStream) -> bool:
    """Whether its newest flush is that one of so many; its first one is."""
    return stream.messages % number == 1 % number


def _metered(families: Iterable[tuple[Meaning, bytes]], clusters: frozenset[str]) -> ProxyMetrics:
    """How many healthy endpoints all clusters have, and all else of these `clusters`. All of it is checked before any
    of it counts."""
    uptime: float | None = None
    counters: dict[tuple[str, CounterKind], int] = {}
    latency: dict[str, dict[int, int]] = {}
    ttft: dict[str, dict[int, int]] = {}
    healthy: dict[str, int] = {}
    members: dict[str, int] = {}
    for (cluster, what), family in families:
        if cluster not in clusters and what not in (HEALTHY, UPTIME):
            continue
        metric = _metric(family)
        if what == LATENCY:
            latency[cluster] = _counts(metric.histogram)
        elif what == FIRST_TOKEN:
            ttft[cluster] = _counts(metric.histogram)
        elif what == HEALTHY:
            healthy[cluster] = validate_count(metric.gauge.value, what)
        elif what == MEMBERS:
            members[cluster] = validate_count(metric.gauge.value, what)
        elif what == UPTIME:
            uptime = float(validate_count(metric.gauge.value, what))
        else:
            # Several counters, or combinations of response flags, count as the same.
            counter = cluster, COUNTERS.get(what) or CounterKind(what)
            counters[counter] = counters.get(counter, 0) + validate_count(metric.counter.value, what)
    return ProxyMetrics(uptime, counters, latency, ttft, healthy, members, clusters)


def _parsed(data: bytes) -> StreamMetricsMessage:
    try:
        return StreamMetricsMessage.FromString(data)
    except DecodeError:
        raise InvalidReport("this is not a StreamMetricsMessage") from None


def _metric(family: bytes) -> Metric:
    try:
        metrics = MetricFamily.FromString(family).metric
    except DecodeError:
        raise InvalidReport("a MetricFamily cannot be read") from None
    if len(metrics) != 1:
        raise InvalidReport("a MetricFamily holds one metric: emit_tags_as_labels must be off")
    return metrics[0]


def _counts(histogram: Histogram) -> dict[int, int]:
    """Requests by bucket. Edges of another bootstrap's buckets count in the next wider bucket."""
    total = validate_count(histogram.sample_count, "sample_count")
    if not total:
        return {}
    buckets = histogram.bucket
    if len(buckets) > MAX_BUCKETS:
        raise InvalidReport(f"a histogram has at most {MAX_BUCKETS} buckets")
    counts: dict[int, int] = {}
    below, index = 0, -1
    # Most buckets are empty, so the next one with a response is searched for.
    while below < total and (index := bisect_right(buckets, below, index + 1, key=_CUMULATIVE)) < len(buckets):
        bucket = buckets[index]
        number = bucket_of(bucket.upper_bound)
        counts[number] = counts.get(number, 0) + bucket.cumulative_count - below
        below = bucket.cumulative_count
    if below > total:
        raise InvalidReport(f"a histogram of {counted(total, 'sample')} cannot have {below} of them in its buckets")
    if total > below:
        counts[BUCKETS - 1] = counts.get(BUCKETS - 1, 0) + total - below
    return counts
