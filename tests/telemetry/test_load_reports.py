"""How often proxies report, and for how long a silent one is waited for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import grpc
import pytest
from annotated_types import Le

from controller.core.judge.arrivals import BLIND_AFTER
from controller.core.model.cluster_names import cluster_name
from controller.core.model.view import View
from controller.core.traffic.awaited_reports import PATIENCE
from controller.core.traffic.book import Book
from controller.core.traffic.reports import ClusterLoad
from controller.pb.haldane.wire.v1.load_stats_pb2 import (
    ClusterStats,
    LoadReporter,
    LoadStatsRequest,
    LoadStatsResponse,
    LocalityStats,
)
from controller.settings import Settings
from controller.telemetry.load_reporting_service import IDLE_INTERVAL
from controller.telemetry.load_reporting_service import SERVICE as LRS
from tests.support.waiting import wait_until
from tests.telemetry.telemetry_server import INTERVAL, SERVICE, TelemetryServer, rolling_out

V1, V2 = (cluster_name(SERVICE, version) for version in ("v1", "v2"))


class Hearing(Book):
    """A book that remembers within which time each proxy promised its next report."""

    def __init__(self) -> None:
        super().__init__()
        self.promised: list[float] = []

    def on_load_report(self, proxy: str, loads: Mapping[str, ClusterLoad], interval: float, now: float) -> bool:
        self.promised.append(interval)
        return super().on_load_report(proxy, loads, interval, now)


def in_fleet(fleet: str) -> View:
    """A view in which the rollout of a service runs that only this fleet has."""
    state = rolling_out(True).services[SERVICE]
    spec = state.spec.model_copy(update={"fleets": (fleet,)})
    return View("store", 1, {SERVICE: state.model_copy(update={"spec": spec})})


@pytest.mark.proves("track-record 64")
async def test_a_proxy_that_identifies_itself_once_keeps_the_interval_of_its_fleet() -> None:
    """Its first report names its fleet, the later ones name no one: it is waited for as long as before, not longer."""
    book = Hearing()
    book.track_clusters([V1])
    telemetry = TelemetryServer(book=book)
    await telemetry.open()
    try:
        telemetry.reports.on_view(in_fleet("edge"))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{telemetry.port}") as channel:
            call = channel.stream_stream(f"/{LRS}/StreamLoadStats")()
            for report in (LoadStatsRequest(node=LoadReporter(id="p", cluster="edge")), LoadStatsRequest()):
                await call.write(report.SerializeToString())
            await wait_until(lambda: len(book.promised) == 2)
            call.cancel()
    finally:
        await telemetry.close()
    assert book.promised == [INTERVAL, INTERVAL]


async def test_load_of_an_operators_own_cluster_counts_as_the_version_that_it_is() -> None:
    """Envoy reports it under the name that it has there."""
    telemetry = TelemetryServer()
    telemetry.book.track_clusters([V1, V2], {"model-1": V1, "model-2": V2})
    await telemetry.open()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{telemetry.port}") as channel:
            call = channel.stream_stream(f"/{LRS}/StreamLoadStats")()
            here = LocalityStats(total_issued_requests=3, total_successful_requests=3)
            stats = ClusterStats(cluster_name="model-1", upstream_locality_stats=[here])
            report = LoadStatsRequest(node=LoadReporter(id="p", cluster="edge"), cluster_stats=[stats])
            await call.write(report.SerializeToString())
            await wait_until(lambda: telemetry.book.totals()[SERVICE, "v1"]["ok"] == 3)
            call.cancel()
    finally:
        await telemetry.close()


@contextlib.asynccontextmanager
async def reporting() -> AsyncIterator[tuple[TelemetryServer, Callable[[], Awaitable[float]]]]:
    """A server with an open stream of load reports, and what reads the next interval that the proxy is told, in
    seconds."""
    telemetry = TelemetryServer()
    await telemetry.open()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{telemetry.port}") as channel:
            call = channel.stream_stream(f"/{LRS}/StreamLoadStats")()
            await call.write(LoadStatsRequest(node=LoadReporter(id="p", cluster="edge")).SerializeToString())

            async def told() -> float:
                async with asyncio.timeout(10):
                    response = LoadStatsResponse.FromString(await call.read())
                assert response.send_all_clusters
                return response.load_reporting_interval.ToTimedelta().total_seconds()

            yield telemetry, told
            call.cancel()
    finally:
        await telemetry.close()


async def test_reports_are_frequent_while_a_canary_has_weight() -> None:
    """From its first weight until it is taken back; not while the hooks keep it waiting."""
    async with reporting() as (telemetry, told):
        assert await told() == INTERVAL
        telemetry.reports.on_view(rolling_out(False))
        assert await told() == IDLE_INTERVAL
        telemetry.reports.on_view(rolling_out(True, weight=0))  # nothing changes, so nothing is sent
        telemetry.reports.on_view(rolling_out(True, weight=1))
        assert await told() == INTERVAL
        telemetry.reports.on_view(rolling_out(True, weight=10_000))
        telemetry.reports.on_view(rolling_out(True, weight=0))
        assert await told() == IDLE_INTERVAL


async def test_only_the_fleets_of_a_canary_report_often() -> None:
    """A rollout elsewhere costs a proxy nothing."""
    async with reporting() as (telemetry, told):
        assert await told() == INTERVAL
        telemetry.reports.on_view(in_fleet("other"))
        assert await told() == IDLE_INTERVAL
        telemetry.reports.on_view(in_fleet("edge"))
        assert await told() == INTERVAL


def test_a_proxy_that_falls_silent_at_rest_does_not_blind_the_judge() -> None:
    """It may do so just when a canary gets its first weight: it is given up on before the judge counts as blind."""
    (longest,) = (each.le for each in Settings.model_fields["report_interval"].metadata if isinstance(each, Le))
    assert longest <= IDLE_INTERVAL
    assert PATIENCE * IDLE_INTERVAL < BLIND_AFTER


async def test_a_report_waits_while_a_rollback_has_the_right_of_way() -> None:
    """It is read afterwards, and none is lost."""
    book = Hearing()
    book.track_clusters([V1])
    telemetry = TelemetryServer(book=book)
    await telemetry.open()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{telemetry.port}") as channel:
            call = channel.stream_stream(f"/{LRS}/StreamLoadStats")()
            await call.write(LoadStatsRequest(node=LoadReporter(id="p", cluster="edge")).SerializeToString())
            await wait_until(lambda: len(book.promised) == 1)
            telemetry.right_of_way.claim()
            await call.write(LoadStatsRequest().SerializeToString())
            await asyncio.sleep(INTERVAL)
            assert len(book.promised) == 1
            telemetry.right_of_way.give_up()
            await wait_until(lambda: len(book.promised) == 2)
            call.cancel()
    finally:
        await telemetry.close()
