"""A program that reports what it likes to a controller, by gRPC, as whatever node it likes; and one that opens xDS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from controller.core.model.cluster_names import cluster_name, stats_name
from controller.pb.haldane.wire.v1 import load_stats_pb2 as wire
from controller.pb.haldane.wire.v1 import metrics_pb2 as metrics
from controller.telemetry.load_reporting_service import SERVICE as LRS
from controller.telemetry.metrics_service import SERVICE as METRICS
from tests.support.system import SERVICE
from tests.xds.local_server import ADS, RawClient

LOADS, FLUSHES = f"/{LRS}/StreamLoadStats", f"/{METRICS}/StreamMetrics"
EVERY = 0.05
"""Seconds between two forged reports: more than any Envoy sends."""


class Forger:
    """One connection, and the reports that are forged on it."""

    def __init__(self, channel: grpc.aio.Channel, node: str, fleet: str) -> None:
        self.channel = channel
        self.node = node
        self.fleet = fleet
        self.sent = 0
        """Reports that were sent, of both kinds."""

    def ads(self) -> RawClient:
        """An aggregated xDS stream on this connection."""
        return RawClient(self.channel.stream_stream(f"{ADS}StreamAggregatedResources")())

    async def report(self, *, canary_ok: int = 0, canary_errors: int = 0, stable_ok: int = 0) -> None:
        """Report, again and again, that this happened, until cancelled: the counts, and latencies of half a minute."""
        call = self.channel.stream_stream(LOADS)()
        flushes = self.channel.stream_unary(FLUSHES)()
        while True:
            await call.write(self._load(canary_ok, canary_errors, stable_ok))
            await flushes.write(self._flush(self.sent))
            self.sent += 2
            await asyncio.sleep(EVERY)

    async def load(self, *, canary_ok: int = 0, canary_errors: int = 0, stable_ok: int = 0) -> None:
        """One load report, on a stream that stays open."""
        self._call = self.channel.stream_stream(LOADS)()
        await self._call.write(self._load(canary_ok, canary_errors, stable_ok))

    def _load(self, canary_ok: int, canary_errors: int, stable_ok: int) -> bytes:
        stats, counts = [], {"v1": (stable_ok, 0), "v2": (canary_ok, canary_errors)}
        for version, (ok, errors) in counts.items():
            here = wire.LocalityStats(
                total_issued_requests=ok + errors, total_successful_requests=ok, total_error_requests=errors
            )
            stats.append(wire.ClusterStats(cluster_name=cluster_name(SERVICE, version), upstream_locality_stats=[here]))
        node = wire.LoadReporter(id=self.node, cluster=self.fleet)
        return wire.LoadStatsRequest(node=node, cluster_stats=stats).SerializeToString()

    def _flush(self, number: int) -> bytes:
        canary = f"cluster.{stats_name(cluster_name(SERVICE, 'v2'))}"
        slow = metrics.Histogram(sample_count=500, bucket=[metrics.Bucket(upper_bound=30_000, cumulative_count=500)])
        families = {
            "server.uptime": metrics.Metric(gauge=metrics.Gauge(value=1)),
            f"{canary}.upstream_rq_time": metrics.Metric(histogram=slow),
            f"{canary}.upstream_rq_4xx": metrics.Metric(counter=metrics.Counter(value=100 * number)),
            f"{canary}.membership_healthy": metrics.Metric(gauge=metrics.Gauge(value=0)),
            f"{canary}.membership_total": metrics.Metric(gauge=metrics.Gauge(value=1)),
        }
        made = [metrics.MetricFamily(name=n, metric=[m]).SerializeToString() for n, m in families.items()]
        identifier = metrics.MetricsIdentifier(node=metrics.MetricsReporter(id=self.node, cluster=self.fleet))
        return metrics.StreamMetricsMessage(identifier=identifier, envoy_metrics=made).SerializeToString()


@contextlib.asynccontextmanager
async def forger(address: str, node: str, fleet: str) -> AsyncIterator[Forger]:
    """A forger with a connection of its own."""
    async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield Forger(channel, node, fleet)


@contextlib.asynccontextmanager
async def forging(made: Forger, **counts: Any) -> AsyncIterator[Forger]:
    """Reports so, until the end of the block."""
    task = asyncio.create_task(made.report(**counts))
    try:
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task  # an error of the forger is one of the test
