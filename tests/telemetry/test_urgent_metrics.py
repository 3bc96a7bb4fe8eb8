"""Which flushes of metrics are read: all of them for what is judged, one in four for everything else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from controller.core.model.cluster_names import cluster_name, stats_name
from controller.core.model.service import ErrorPolicy, LatencyPolicy, Policy
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.reports import ProxyMetrics
from controller.pb.haldane.wire.v1 import metrics_pb2 as wire
from controller.telemetry.metrics_service import SAMPLED
from controller.telemetry.metrics_service import SERVICE as METRICS
from controller.telemetry.report_pace import FEWER_READ, FEWEST_READ
from controller.telemetry.wanted_metrics import HEALTHY, LATENCY
from tests.support.waiting import wait_until
from tests.telemetry.telemetry_server import INTERVAL, SERVICE, TelemetryServer, rolling_out

V1, V2 = (cluster_name(SERVICE, version) for version in ("v1", "v2"))
NO_SERVER = "upstream_cx_none_healthy"
"""A counter whose increments count at once."""


class NotingBook(Book):
    """A book that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.flushes: list[ProxyMetrics] = []

    def on_metrics(self, proxy: str, metrics: ProxyMetrics, now: float) -> None:
        self.flushes.append(metrics)
        super().on_metrics(proxy, metrics, now)

    def errors(self, version: str) -> int:
        """The requests of a version that found no server."""
        return self.totals()[SERVICE, version]["5xx"]


def flush(number: int) -> bytes:
    """Of both versions a healthy endpoint, a response of 5 ms, and so many requests without a server so far."""
    names = [stats_name(cluster) for cluster in (V1, V2)]
    response = wire.Histogram(sample_count=1, bucket=[wire.Bucket(cumulative_count=1, upper_bound=5.0)])
    said = {
        HEALTHY: wire.Metric(gauge=wire.Gauge(value=1)),
        NO_SERVER: wire.Metric(counter=wire.Counter(value=100 + number)),
        LATENCY: wire.Metric(histogram=response),
    }
    families = [
        wire.MetricFamily(name=f"cluster.{name}.{stat}", metric=[metric])
        for name in names
        for stat, metric in said.items()
    ]
    node = wire.MetricsIdentifier(node=wire.MetricsReporter(id="p", cluster="lab"))
    return wire.StreamMetricsMessage(
        identifier=node, envoy_metrics=[family.SerializeToString() for family in families]
    ).SerializeToString()


@contextlib.asynccontextmanager
async def flushing(view: View) -> AsyncIterator[tuple[TelemetryServer, NotingBook, Callable[..., Awaitable[None]]]]:
    """A server with this view, and what sends it the flush of that number and waits until it has counted."""
    book = NotingBook()
    telemetry = TelemetryServer(book=book)
    book.track_clusters([V1, V2])
    await telemetry.open()
    telemetry.metrics.on_view(view)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{telemetry.port}") as channel:
            call = channel.stream_unary(f"/{METRICS}/StreamMetrics")()

            async def send(number: int, *, counts: bool = True) -> None:
                before = len(book.flushes)
                await call.write(flush(number))
                if counts:
                    await wait_until(lambda: len(book.flushes) > before)

            yield telemetry, book, send
            call.cancel()
    finally:
        await telemetry.close()


def with_limits(policy: Policy) -> View:
    """A view without a rollout, in which the service has that policy."""
    state = rolling_out(False).services[SERVICE]
    spec = state.spec.model_copy(update={"policy": policy})
    return View("store", 1, {SERVICE: state.model_copy(update={"spec": spec})})


@pytest.mark.parametrize(
    "view",
    [
        rolling_out(True, weight=1),
        with_limits(Policy(errors=ErrorPolicy(max=0.1))),
        with_limits(Policy(latency=LatencyPolicy(p99=1.0))),
    ],
    ids=["a canary with weight", "a limit of errors", "a limit of latency"],
)
async def test_what_is_judged_is_read_at_each_flush(view: View) -> None:
    """Harm is found as soon as it is reported."""
    async with flushing(view) as (_, book, send):
        for number in range(2 * SAMPLED):
            await send(number)
            assert (book.errors("v1"), book.errors("v2")) == (number, number)
            assert set(book.flushes[-1].latency) == {V1, V2}


@pytest.mark.parametrize("view", [rolling_out(False), rolling_out(True, weight=0)], ids=["no rollout", "no weight"])
async def test_of_the_rest_one_flush_in_four_is_read(view: View) -> None:
    """Nothing of a counter is lost, and healthy endpoints are known at each."""
    async with flushing(view) as (_, book, send):
        for number in range(2 * SAMPLED + 1):
            await send(number)
            read = number // SAMPLED * SAMPLED
            assert (book.errors("v1"), book.errors("v2")) == (read, read)
            assert set(book.flushes[-1].latency) == ({V1, V2} if number == read else set())
            assert book.flushes[-1].healthy == {V1: 1, V2: 1}


async def test_a_canary_that_gets_weight_is_read_from_the_next_flush_on() -> None:
    """With what its counters rose by since they were read last."""
    async with flushing(rolling_out(False)) as (telemetry, book, send):
        for number in (0, 1):
            await send(number)
        assert book.errors("v2") == 0
        telemetry.metrics.on_view(rolling_out(True, weight=1))
        await send(2)
        assert book.errors("v2") == 2


async def test_a_cluster_observed_anew_counts_from_its_first_value_that_is_read() -> None:
    """What an Envoy counted before its service was declared is the past, also if its next flushes are not read."""
    async with flushing(rolling_out(False)) as (_, book, send):
        book.track_clusters([V1])
        await send(0)
        book.track_clusters([V1, V2])
        for number in range(1, 2 * SAMPLED + 1):
            await send(number)
        assert book.errors("v1") == 2 * SAMPLED
        assert book.errors("v2") == SAMPLED


@pytest.mark.parametrize("number", [FEWER_READ, FEWEST_READ])
async def test_a_controller_that_is_behind_reads_one_flush_in_so_many_of_what_is_judged(number: int) -> None:
    """Nothing of a counter is lost, and once it keeps up again it reads each."""
    async with flushing(rolling_out(True, weight=1)) as (telemetry, book, send):
        await send(0)
        telemetry.read_one_in = number
        for each in range(1, number):
            await send(each, counts=False)
        await send(number)
        assert (book.errors("v1"), book.errors("v2")) == (number, number)
        assert set(book.flushes[-1].latency) == {V1, V2}
        telemetry.read_one_in = 1
        await send(number + 1)
        assert book.errors("v2") == number + 1
        assert len(book.flushes) == 3


async def test_a_controller_that_is_behind_reads_what_is_not_judged_least_often() -> None:
    """Of the flushes that it reads, one in four; of the others it counts the healthy endpoints alone."""
    async with flushing(rolling_out(False)) as (telemetry, book, send):
        await send(0)
        telemetry.read_one_in = 2
        for each in range(1, 2 * SAMPLED):
            await send(each, counts=each % 2 == 0)
        assert book.errors("v2") == 0
        assert len(book.flushes) == SAMPLED
        assert all(set(flush.healthy) == {V1, V2} and not flush.latency for flush in book.flushes[1:])
        await send(2 * SAMPLED)
        assert book.errors("v2") == 2 * SAMPLED


async def test_a_flush_waits_while_a_rollback_has_the_right_of_way() -> None:
    """It is read afterwards, and none is lost."""
    async with flushing(rolling_out(True, weight=1)) as (telemetry, book, send):
        await send(0)
        telemetry.right_of_way.claim()
        sending = asyncio.create_task(send(1))
        await asyncio.sleep(INTERVAL)
        assert len(book.flushes) == 1
        telemetry.right_of_way.give_up()
        await sending
