"""Metrics of what controllers that share a store pass on to the one that decides, read at each scrape."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.core.traffic.report_log import ReportLog
from controller.runtime.joined_fleet import JoinedFleet
from controller.runtime.membership import Membership


class Connection(Protocol):
    """The stream to the one that decides."""

    connected: bool
    """Whether it takes what is reported here."""


class RelayState(Collector):
    """Whether this controller's reports arrive, what of them was dropped, and which controllers are not heard of."""

    def __init__(self, fleet: JoinedFleet, log: ReportLog, connection: Connection, membership: Membership) -> None:
        self._fleet = fleet
        self._log = log
        self._connection = connection
        self._membership = membership

    def collect(self) -> Iterable[Metric]:
        """One family each. The controllers' names are those that operators gave them."""
        connected = GaugeMetricFamily(
            "haldane_relay_connected", "Whether what is reported here reaches the controller that decides"
        )
        connected.add_metric([], float(self._connection.connected or self._fleet.decides))
        dropped = CounterMetricFamily(
            "haldane_relay_dropped_reports", "Reports that were dropped before the controller that decides had them"
        )
        dropped.add_metric([], self._log.dropped)
        cut_off = GaugeMetricFamily(
            "haldane_cut_off_proxies",
            "Proxies of a controller that the one that decides does not hear of",
            labels=["controller"],
        )
        names = {each.name: 0 for each in self._membership.known.members} if self._fleet.decides else {}
        for name, proxies in {**names, **{each.controller: each.proxies for each in self._fleet.cut_off()}}.items():
            cut_off.add_metric([name], proxies)
        return connected, dropped, cut_off
