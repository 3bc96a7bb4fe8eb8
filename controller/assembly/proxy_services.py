"""What is served on the xDS port: the configuration of each view, and the services that proxies report to."""

import os
import socket
from collections.abc import Collection

from controller import __version__
from controller.assembly.base import Base
from controller.core.model.view import View
from controller.core.traffic.report_log import ReportLog
from controller.process.fault_points import reach
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.proxy_events import ProxyEvents
from controller.telemetry.load_reporting_service import LoadReportingService
from controller.telemetry.metrics_service import MetricsService
from controller.telemetry.report_turns import ReportTurns
from controller.telemetry.reporters import Reporters
from controller.xds.server import XdsServer


class ProxyServices:
    """The xDS server, and the intake of load reports and metrics."""

    def __init__(self, base: Base, *, may_lag: bool) -> None:
        """`may_lag`: proxies may come from a process that has served a newer view than this one has."""
        self._base = base
        replica = base.replica
        self.xds = XdsServer(
            clock=base.clock,
            own=base.own_addresses,
            shared=may_lag,
            limits=base.settings.xds_limits,
            identifier=f"haldane/{__version__} {socket.gethostname()} {os.getpid()}",
            observer=ProxyEvents(base.metrics, replica, base.tracer),
        )
        self.edge = EdgeReports(base.book, ReportLog(), self.xds, replica.view) if base.store.shared else None
        """Where several controllers share a store: the reports to this one, for the one that decides."""
        sink = self.edge or base.book
        turns = ReportTurns(self.xds.right_of_way)
        reporters = Reporters(self.xds, self.xds.stranger_log, self.xds.report_totals, base.metrics, base.clock)
        self.load_reports = LoadReportingService(
            sink,
            reporters,
            base.clock,
            interval=base.settings.report_interval,
            on_news=replica.on_reports,
            turns=turns,
        )
        self.metrics = MetricsService(
            sink, reporters, base.clock, turns=turns, read_one_in=lambda: self.load_reports.flushes
        )

    def publish(self, view: View) -> None:
        """Serve this view. The load reports are paced first: a canary's first weight must not be reported late."""
        reach("push:before")
        self.load_reports.on_view(view)
        self.metrics.on_view(view)
        self._base.sources.on_view(view)
        self._serve(view)
        reach("push:after")

    def on_endpoints(self, services: Collection[str], moved: bool) -> None:
        """Something else is known of the sources of these services; `moved`: they have other endpoints."""
        view = self._base.replica.view()
        if view.store_id and moved:  # before that nothing is served
            self._serve(view)
        self._base.replica.on_endpoints(services)

    def _serve(self, view: View) -> None:
        """Serve this view with the endpoints that its sources have now."""
        sources = self._base.sources
        with self._base.tracer.pushing(view.revision):
            self.xds.publish(view, sources.sourced)
        self._base.replica.track_sources(sources.empty_clusters, sources.unread_clusters)
