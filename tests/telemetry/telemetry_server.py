"""The telemetry adapters on a real port, and a real Envoy with fixed clusters that reports to them."""

import contextlib
import copy
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import envoy_data_plane.envoy.extensions.access_loggers.stats.v3  # noqa: F401  # its message is in the loggers
import grpc
import yaml
from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog

from controller.bootstrap import render
from controller.core.model.cluster_names import cluster_name, stats_name
from controller.core.model.rollout import Rollout
from controller.core.model.service import Endpoint, Listen, Service, Version
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.window import Sample, Window
from controller.ports.report_admission import ReportAdmission
from controller.process.clock import SystemClock
from controller.process.right_of_way import RightOfWay
from controller.runtime.report_totals import ReportTotals
from controller.runtime.stranger_log import StrangerLog
from controller.telemetry.load_reporting_service import LoadReportingService
from controller.telemetry.metrics_service import MetricsService
from controller.telemetry.report_turns import ReportTurns
from controller.telemetry.reporters import Reporters
from controller.xds.resources.access_logs import first_token_logger, stats_loggers
from tests.fakes.admission import EveryoneAdmitted
from tests.fakes.meter import FakeMeter
from tests.support.process import free_port
from tests.support.waiting import wait_until

SERVICE = "fraud.scorer"
"""With a dot, since Envoy cuts the names of its statistics there."""
INTERVAL = 0.2
"""Seconds between two reports in these tests."""


def rolling_out(running: bool, weight: int = 500) -> View:
    """A view in which the service's rollout runs with that weight, or none does."""
    versions = tuple(Version(name=name, endpoints=(Endpoint(host="127.0.0.1", port=1),)) for name in ("v1", "v2"))
    spec = Service(name=SERVICE, listen=Listen(port=1), versions=versions, stable="v1")
    rollout = (
        Rollout(id="r", service=SERVICE, stable="v1", canary="v2", policy=spec.policy, weight=weight)
        if running
        else None
    )
    return View("store", 1, {SERVICE: ServiceState(spec=spec, source="", stable="v1", rollout=rollout)})


@dataclass
class TelemetryServer:
    """Where proxies report to: a book, and the two services that write into it. It can be closed and opened again."""

    book: Book = field(default_factory=Book)
    port: int = field(default_factory=free_port)
    news: int = 0
    meter: FakeMeter = field(default_factory=FakeMeter)
    admission: ReportAdmission = field(init=False)
    right_of_way: RightOfWay = field(default_factory=RightOfWay)
    read_one_in: int = 1
    """Of how many flushes of metrics one is read."""
    totals: ReportTotals = field(default_factory=lambda: ReportTotals(SystemClock()))
    _server: grpc.aio.Server | None = None

    def __post_init__(self) -> None:
        self.admission = EveryoneAdmitted(self.book)

    async def open(self) -> None:
        """Listen for proxies."""
        clock = SystemClock()
        turns = ReportTurns(self.right_of_way)
        reporters = Reporters(self.admission, StrangerLog(clock), self.totals, self.meter, clock)
        self.reports = LoadReportingService(
            self.book,
            reporters,
            clock,
            interval=INTERVAL,
            on_news=self._count_news,
            turns=turns,
        )
        self.reports.on_view(rolling_out(True))
        self.metrics = MetricsService(self.book, reporters, clock, turns=turns, read_one_in=lambda: self.read_one_in)
        self.metrics.on_view(rolling_out(True))
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((*self.reports.handlers(), *self.metrics.handlers()))
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def close(self) -> None:
        """Cut every stream and stop listening."""
        if self._server:
            await self._server.stop(0)
            self._server = None

    def _count_news(self, services: Iterable[str]) -> None:
        self.news += 1


@contextlib.asynccontextmanager
async def telemetry_server(*versions: str) -> AsyncIterator[TelemetryServer]:
    """A server that observes these versions of the service."""
    telemetry = TelemetryServer()
    telemetry.book.track_clusters(cluster_name(SERVICE, version) for version in versions)
    await telemetry.open()
    try:
        yield telemetry
    finally:
        await telemetry.close()


@dataclass
class Totals:
    """The sums of all windows of a server."""

    started: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    latency: dict[str, Counter[float]] = field(default_factory=dict)
    ttft: dict[str, Counter[float]] = field(default_factory=dict)
    cancelled: Counter[str] = field(default_factory=Counter)
    in_progress: dict[str, int | None] = field(default_factory=dict)
    """The newest number of requests in progress, by version."""

    def read(self, telemetry: TelemetryServer, stable: str = "v1", canary: str = "v2") -> Window | None:
        """Take the next window, if there is one, and add it."""
        window = telemetry.book.take_window(SERVICE, stable, canary, 5000, SystemClock().monotonic())
        if window:
            for version, sample in ((stable, window.stable), (canary, window.canary)):
                if sample:
                    self._add(version, sample)
        return window

    async def begin(self, telemetry: TelemetryServer, version: str = "v2") -> None:
        """Wait until the proxy has reported by both ways. Counters count from the first metrics that have been read of
        a cluster on: a 4xx before them is known by its load report alone, which calls it a success."""
        await wait_until(lambda: self.read(telemetry))
        await wait_until(lambda: telemetry.book.endpoint_health(SERVICE, version, time.monotonic()))

    def answered(self, version: str) -> int:
        """All answers of a version so far."""
        return self.outcomes.get(version, Counter()).total()

    def _add(self, version: str, sample: Sample) -> None:
        self.started[version] += sample.started
        self.cancelled[version] += sample.cancelled
        self.in_progress[version] = sample.in_progress
        self.outcomes.setdefault(version, Counter()).update({"ok": sample.ok, **sample.errors})
        self.latency.setdefault(version, Counter()).update(dict(sample.latency))
        self.ttft.setdefault(version, Counter()).update(dict(sample.ttft))


def static_bootstrap(
    telemetry: TelemetryServer,
    entry: int,
    versions: Mapping[str, str],
    node: str = "lab",
    *,
    http2: bool = False,
    idle_timeout: str = "300s",
    limits: Mapping[str, int] | None = None,
) -> str:
    """The rendered bootstrap, with fixed clusters in the place of what xDS would bring.

    The version that the header `version` names answers; its address is HOST:PORT, or empty for no server at all.
    `http2` is how the servers speak; `limits` are the circuit breaker's thresholds. The listener has the loggers that
    xDS would bring.
    """
    text = render(
        fleet="lab",
        node=node,
        xds=f"127.0.0.1:{telemetry.port}",
        envoy_admin=f"127.0.0.1:{free_port()}",
    )
    made: dict[str, Any] = yaml.safe_load(text)
    del made["dynamic_resources"]
    made["stats_flush_interval"] = f"{INTERVAL:g}s"
    made["static_resources"]["clusters"] += [_cluster(version, address, http2) for version, address in versions.items()]
    for cluster in made["static_resources"]["clusters"] if limits else ():
        cluster["circuit_breakers"] = {"thresholds": [dict(limits)]}
    made["static_resources"]["listeners"] = [_listener(entry, list(versions), idle_timeout)]
    return yaml.safe_dump(made)


def _cluster(version: str, address: str, http2: bool) -> dict[str, Any]:
    name = cluster_name(SERVICE, version)
    host, _, port = address.rpartition(":")
    place = {"socket_address": {"address": host, "port_value": int(port or 0)}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": place}}]}] if address else []
    return {
        "name": name,
        "alt_stat_name": stats_name(name),
        "type": "STATIC",
        "connect_timeout": "0.3s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        "typed_extension_protocol_options": {
            _PROTOCOL: {"@type": f"type.googleapis.com/{_PROTOCOL}", **_SPEAKS[http2]}
        },
    }


def _listener(entry: int, versions: list[str], idle_timeout: str) -> dict[str, Any]:
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "version", "string_match": {"exact": version}}]},
            "route": {"cluster": cluster_name(SERVICE, version), "timeout": "0.5s"},
        }
        for version in versions
    ]
    manager = copy.deepcopy(_MANAGER)
    manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"] = routes
    manager["typed_config"]["stream_idle_timeout"] = idle_timeout
    manager["typed_config"]["access_log"] = [
        AccessLog.parse(logger.SerializeToString()).to_dict() for logger in (*stats_loggers(), first_token_logger())
    ]
    return {
        "name": "entry",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": entry}},
        "filter_chains": [{"filters": [manager]}],
    }


_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SPEAKS = {
    True: {"explicit_http_config": {"http2_protocol_options": {}}},
    False: {"explicit_http_config": {"http_protocol_options": {}}},
}
_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"
_MANAGER: dict[str, Any] = {
    "name": "http",
    "typed_config": {
        "@type": f"{_EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "entry",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_EXTENSIONS}.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": []}]},
    },
}
