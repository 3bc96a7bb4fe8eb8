"""How often proxies report, and for how long a silent one is waited for."""

from collections.abc import Mapping

import grpc
import pytest

from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.reports import ClusterLoad
from controller.pb.haldane.wire.v1.load_stats_pb2 import LoadReporter, LoadStatsRequest
from controller.telemetry.load_reporting_service import SERVICE as LRS
from tests.support.waiting import wait_until
from tests.telemetry.telemetry_server import INTERVAL, SERVICE, TelemetryServer, rolling_out


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
