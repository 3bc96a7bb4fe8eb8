"""Envoy's metrics service: latencies, times to the first token, 4xx, how responses end, requests without an endpoint.

Envoy sends all of its metrics at each flush, hundreds for every cluster, since a filter in its configuration would
remove them from its own admin page too. So a family is looked up by its place or by the bytes of its name, and parsed
only if needed.
"""

import re
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from operator import attrgetter

import grpc
import structlog
from google.protobuf.message import DecodeError

from controller.core.base.units import counted
from controller.core.model.cluster_names import stats_name
from controller.core.traffic.book import Book
from controller.core.traffic.latency_buckets import BUCKETS, bucket_of
from controller.core.traffic.reports import CounterKind, ProxyMetrics
from controller.core.traffic.response_flags import FIRST_TOKEN, REPORTED_OK, STATS_PREFIX, UNREPORTED, counter_kind
from controller.pb.haldane.wire.v1.metrics_pb2 import Histogram, Metric, MetricFamily, StreamMetricsMessage
from controller.ports.clock import Clock
from controller.telemetry.family_positions import FamilyPositions
from controller.telemetry.report_streams import InvalidReport, OpenStreams, ReportStream, validate_count, validate_node

SERVICE = "envoy.service.metrics.v3.MetricsService"
UPTIME = "server.uptime"
LATENCY = "upstream_rq_time"
"""Milliseconds from the start of the request to the end of the response, without timeouts and resets."""
COUNTERS = {
    "upstream_rq_4xx": CounterKind.CLIENT_ERRORS,
    "upstream_cx_none_healthy": CounterKind.NO_SERVER,
    "upstream_rq_pending_overflow": CounterKind.OVERFLOW,
    "upstream_rq_pending_failure_eject": CounterKind.UNCONNECTED,
    "upstream_rq_active_overflow": CounterKind.UNCONNECTED,
}
HEALTHY = "membership_healthy"
STATS = (*COUNTERS, LATENCY, HEALTHY)
"""All metrics that are read of a cluster."""
ENDINGS = f"{STATS_PREFIX}.".encode()
ENDING = re.compile(rf"{STATS_PREFIX}\.({REPORTED_OK}|{UNREPORTED})\.cluster\.([^.]+)\.flags\.([A-Z,]+)".encode())
"""The names of the stats loggers' counters: which logger, cluster, response flags."""
MAX_BUCKETS = 1000
"""Buckets of one histogram."""
_CUMULATIVE = attrgetter("cumulative_count")

Meaning = tuple[str, str]
"""What a metric means: its cluster, and one of `STATS`, `FIRST_TOKEN`, a `CounterKind`, or `UPTIME` (of no cluster)."""

log = structlog.get_logger()


class MetricsService:
    """Writes the metrics of proxies into the book."""

    def __init__(self, book: Book, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._streams = OpenStreams()
        self._observed: frozenset[str] = frozenset()
        self._meaning_of = meanings(())

    def handlers(self) -> "tuple[grpc.GenericRpcHandler[bytes, bytes], ...]":
        """For the xDS port."""
        method = grpc.stream_unary_rpc_method_handler(self._serve)
        return (grpc.method_handlers_generic_handler(SERVICE, {"StreamMetrics": method}),)

    async def _serve(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            await self._receive(requests)
        except InvalidReport as error:
            log.warning("metrics_refused", peer=context.peer(), reason=str(error))
            await context.abort(error.code, str(error))
        return b""

    async def _receive(self, requests: AsyncIterator[bytes]) -> None:
        stream: ReportStream | None = None
        positions: FamilyPositions[Meaning] = FamilyPositions()
        try:
            async for data in requests:
                now = self._clock.monotonic()
                message = _parsed(data)
                if stream is None:
                    stream = self._streams.open(validate_node(message.identifier.node.id), now)
                    log.info("metrics_opened", node=stream.node, fleet=message.identifier.node.cluster)
                stream.count_message(now)
                self._book.on_metrics(stream.key, self._metered(message, positions), now)
        finally:
            if stream:
                self._end(stream)

    def _end(self, stream: ReportStream) -> None:
        if self._streams.is_ambiguous(stream):
            self._book.forget_counters(stream.key)
        self._streams.close(stream)
        lasted = round(self._clock.monotonic() - stream.opened_at, 3)
        log.info("metrics_ended", node=stream.node, flushes=stream.messages, seconds=lasted)

    def _metered(self, message: StreamMetricsMessage, positions: FamilyPositions[Meaning]) -> ProxyMetrics:
        """The metrics of the observed clusters, all of them checked before any of them counts."""
        if self._observed is not self._book.observed:
            self._observed = self._book.observed
            self._meaning_of = meanings(self._observed)
        uptime: float | None = None
        counters: dict[tuple[str, CounterKind], int] = {}
        latency: dict[str, dict[int, int]] = {}
        ttft: dict[str, dict[int, int]] = {}
        healthy: dict[str, int] = {}
        for (cluster, what), family in positions.find(message.envoy_metrics, self._meaning_of):
            metric = _metric(family)
            if what == LATENCY:
                latency[cluster] = _counts(metric.histogram)
            elif what == FIRST_TOKEN:
                ttft[cluster] = _counts(metric.histogram)
            elif what == HEALTHY:
                healthy[cluster] = validate_count(metric.gauge.value, what)
            elif what == UPTIME:
                uptime = float(validate_count(metric.gauge.value, what))
            else:
                # Several counters, or combinations of response flags, count as the same.
                counter = cluster, COUNTERS.get(what) or CounterKind(what)
                counters[counter] = counters.get(counter, 0) + validate_count(metric.counter.value, what)
        return ProxyMetrics(uptime, counters, latency, ttft, healthy)


def meanings(clusters: Collection[str]) -> Callable[[bytes], Meaning | None]:
    """What the name of a metric means, if these clusters are observed; None if it is not wanted."""
    by_stats_name = {stats_name(cluster): cluster for cluster in clusters}
    wanted: dict[bytes, Meaning] = {UPTIME.encode(): ("", UPTIME)}
    for statistics, cluster in by_stats_name.items():
        wanted |= {f"cluster.{statistics}.{stat}".encode(): (cluster, stat) for stat in STATS}
        wanted[f"{STATS_PREFIX}.{FIRST_TOKEN}.cluster.{statistics}".encode()] = cluster, FIRST_TOKEN

    def meaning_of(name: bytes) -> Meaning | None:
        return wanted.get(name) or (_ending(name, by_stats_name) if name.startswith(ENDINGS) else None)

    return meaning_of


def _ending(name: bytes, clusters: Mapping[str, str]) -> Meaning | None:
    """The cluster of a stats logger's counter and what it counts. `clusters`: the observed ones, by statistics name."""
    match = ENDING.fullmatch(name)
    if match is None:
        return None
    logger, statistics, flags = (part.decode(errors="replace") for part in match.groups())
    cluster, kind = clusters.get(statistics), counter_kind(logger, flags)
    return (cluster, kind) if cluster and kind else None


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
