"""Bad and hostile messages: each ends its own stream with a status that says why, and counts nothing."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.model.cluster_names import cluster_name, stats_name
from controller.pb.haldane.wire.v1 import load_stats_pb2 as wire
from controller.pb.haldane.wire.v1 import metrics_pb2 as metrics
from controller.telemetry import load_reporting_service, report_streams
from tests.support.waiting import wait_until
from tests.telemetry.telemetry_server import SERVICE, TelemetryServer, telemetry_server

Ended = tuple[grpc.StatusCode, str]
REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
LOADS = f"/{load_reporting_service.SERVICE}/StreamLoadStats"
METRICS = "/envoy.service.metrics.v3.MetricsService/StreamMetrics"
CANARY = cluster_name(SERVICE, "v2")
NODE = wire.LoadReporter(id="bad", cluster="lab")
GOOD_NODE = wire.LoadReporter(id="good", cluster="lab")


def report(
    *, node: wire.LoadReporter = NODE, ok: int = 1, errors: int = 0, issued: int = 1, clusters: int = 1
) -> bytes:
    """A load report of the canary."""
    here = wire.LocalityStats(total_successful_requests=ok, total_error_requests=errors, total_issued_requests=issued)
    stats = wire.ClusterStats(cluster_name=CANARY, upstream_locality_stats=[here])
    return wire.LoadStatsRequest(node=node, cluster_stats=[stats] * clusters).SerializeToString()


NOTHING = report(ok=0, issued=0)


def flush(name: str, metric: metrics.Metric, *, node: str = "bad", times: int = 1) -> bytes:
    """A metrics message with one family."""
    family = metrics.MetricFamily(name=name, metric=[metric] * times).SerializeToString()
    identifier = metrics.MetricsIdentifier(node=metrics.MetricsReporter(id=node))
    return metrics.StreamMetricsMessage(identifier=identifier, envoy_metrics=[family]).SerializeToString()


def stat(name: str) -> str:
    """The full name of a metric of the canary."""
    return f"cluster.{stats_name(CANARY)}.{name}"


def counter(value: float, name: str = "upstream_rq_4xx") -> bytes:
    """A flush with one counter of the canary."""
    return flush(stat(name), metrics.Metric(counter=metrics.Counter(value=value)))


def ending(flags: str, value: float, times: int = 1) -> bytes:
    """A flush with a counter of how the canary's responses ended."""
    name = f"haldane.reported_ok.cluster.{stats_name(CANARY)}.flags.{flags}"
    return flush(name, metrics.Metric(counter=metrics.Counter(value=value)), times=times)


def histogram(total: int, *buckets: tuple[float, int]) -> bytes:
    """A flush with the canary's latencies."""
    made = [metrics.Bucket(upper_bound=edge, cumulative_count=count) for edge, count in buckets]
    return flush(stat("upstream_rq_time"), metrics.Metric(histogram=metrics.Histogram(sample_count=total, bucket=made)))


async def sent(telemetry: TelemetryServer, method: str, messages: Sequence[bytes], *, end: bool = False) -> Ended:
    """Send these on a stream of their own, which the client ends or keeps open: how it ended."""
    return await asyncio.to_thread(_sent, telemetry.port, method, messages, end)


def _sent(port: int, method: str, messages: Sequence[bytes], end: bool) -> Ended:
    """By gRPC's client for threads: the one for asyncio may forget the status when it is ended while it writes."""
    over = threading.Event()

    def requests() -> Iterator[bytes]:
        yield from messages
        if not end:
            over.wait(10)

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(method)(requests())
        try:
            for _ in call:
                pass
        except grpc.RpcError:
            pass
        finally:
            over.set()
        return call.code(), call.details()


REFUSED = {
    "not a message": (LOADS, [b"\xff\xff\xff\xff"], "not a LoadStatsRequest"),
    "truncated": (LOADS, [report()[:-3]], "not a LoadStatsRequest"),
    "no node": (LOADS, [report(node=wire.LoadReporter())], "node.id is missing"),
    "node id with a line break": (LOADS, [report(node=wire.LoadReporter(id="a\nb"))], "printable"),
    "node id with a terminal's escape": (LOADS, [report(node=wire.LoadReporter(id="\x1b[2J"))], "printable"),
    "endless node id": (LOADS, [report(node=wire.LoadReporter(id="x" * 257))], "at most 256"),
    "negative count": (LOADS, [report(ok=2**64 - 1)], "total_successful_requests must be"),
    "absurd count": (LOADS, [report(errors=2**41)], "total_error_requests must be"),
    "absurd sum of believable counts": (LOADS, [report(issued=2**63)], "total_issued_requests must be"),
    "bad message after good ones": (LOADS, [NOTHING, NOTHING, b"\x0a\xff"], "not a LoadStatsRequest"),
    "too many clusters": (LOADS, [report(clusters=load_reporting_service.MAX_CLUSTERS + 1)], "at most"),
    "a flood": (LOADS, [NOTHING] * (3 * report_streams.MAX_BURST), "messages within a second"),
    "metrics: not a message": (METRICS, [b"\x99"], "not a StreamMetricsMessage"),
    "metrics: no node": (METRICS, [flush("x", metrics.Metric(), node="")], "node.id is missing"),
    "metrics: negative counter": (METRICS, [counter(-1)], "upstream_rq_4xx must be"),
    "metrics: NaN": (METRICS, [counter(float("nan"))], "upstream_rq_4xx must be"),
    "metrics: infinite": (METRICS, [counter(float("inf"))], "upstream_rq_4xx must be"),
    "metrics: a half request": (METRICS, [counter(0.5)], "upstream_rq_4xx must be"),
    "metrics: absurd counter": (METRICS, [counter(1e300)], "upstream_rq_4xx must be"),
    "metrics: an ending below zero": (METRICS, [ending("UPE", -1)], "broken must be"),
    "metrics: an ending with labels": (METRICS, [ending("UPE", 1, times=2)], "emit_tags_as_labels"),
    "metrics: negative age": (
        METRICS,
        [flush("server.uptime", metrics.Metric(gauge=metrics.Gauge(value=-5)))],
        "uptime",
    ),
    "metrics: more in the buckets than in all": (METRICS, [histogram(3, (1.0, 2), (2.0, 9))], "cannot have"),
    "metrics: absurd samples": (METRICS, [histogram(2**50, (1.0, 2**50))], "sample_count must be"),
    "metrics: endless buckets": (METRICS, [histogram(5, *[(1.0, 1)] * 1001)], "at most"),
    "metrics: labels": (METRICS, [flush(stat("upstream_rq_4xx"), metrics.Metric(), times=2)], "emit_tags_as_labels"),
    "metrics: broken family": (
        METRICS,
        [
            metrics.StreamMetricsMessage(
                identifier=metrics.MetricsIdentifier(node=metrics.MetricsReporter(id="bad")),
                envoy_metrics=[
                    b"\x0a" + bytes([len(stat("upstream_rq_4xx"))]) + stat("upstream_rq_4xx").encode() + b"\x22\x7f"
                ],
            ).SerializeToString()
        ],
        "cannot be read",
    ),
}


@pytest.mark.proves("fault 17")
@pytest.mark.parametrize(("method", "messages", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_an_invalid_message_ends_its_stream_and_counts_nothing(
    method: str, messages: list[bytes], words: str
) -> None:
    """The status says why; another proxy's stream goes on, and its report is all that is in the window."""
    async with (
        telemetry_server("v1", "v2") as telemetry,
        grpc.aio.insecure_channel(f"127.0.0.1:{telemetry.port}") as channel,
    ):
        good = channel.stream_stream(LOADS)()
        await good.write(report(node=GOOD_NODE, ok=0, issued=0))
        asked = wire.LoadStatsResponse.FromString(await good.read())
        assert asked.send_all_clusters
        code, details = await sent(telemetry, method, messages)
        assert code in REFUSALS
        assert words in details
        news = telemetry.news
        await good.write(report(node=GOOD_NODE, ok=5, issued=5))
        await wait_until(lambda: telemetry.news > news)
        window = telemetry.book.take_window(SERVICE, "v1", "v2", 500, 0.0)
        assert window is not None
        assert window.canary is not None
        assert (window.canary.ok, window.canary.answered, window.canary.started) == (5, 5, 5)
        good.cancel()


@pytest.mark.proves("bad-input 30")
async def test_a_message_of_several_megabytes_is_rejected_by_its_size() -> None:
    """The limit is gRPC's: nothing of it is ever parsed."""
    async with telemetry_server("v2") as telemetry:
        code, _ = await sent(telemetry, LOADS, [b"\x00" * (5 << 20)])
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


RIGHT = (report(), NOTHING, counter(3), histogram(2, (1.0, 1)))


@pytest.mark.proves("bad-input 30")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(RIGHT)), max_size=5), st.sampled_from([LOADS, METRICS])
)
async def test_any_bytes_are_counted_or_rejected(messages: list[bytes], method: str) -> None:
    """Random bytes and right messages in any order: an end by the client, or a refusal; never an internal error."""
    async with telemetry_server("v2") as telemetry:
        code, _ = await sent(telemetry, method, messages, end=True)
        assert code in (grpc.StatusCode.OK, *REFUSALS)
        assert all(count >= 0 for outcomes in telemetry.book.totals().values() for count in outcomes.values())
