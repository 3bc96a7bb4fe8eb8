"""Metrics of the controllers that share the store, read at each scrape."""

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.core.model.member import Writes
from controller.runtime.membership import Membership


class ControllersState(Collector):
    """Who decides, in which term, and how far each is, as this controller knows it."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    def collect(self) -> Iterable[Metric]:
        """One family each. The names are those that operators gave their machines or their controllers."""
        roster = self._membership.known
        leads = GaugeMetricFamily(
            "haldane_controller_leads", "1 for the controller that decides", labels=["controller"]
        )
        behind = GaugeMetricFamily(
            "haldane_controller_behind", "Revisions behind the newest that any serves", labels=["controller"]
        )
        for each in roster.members:
            leads.add_metric([each.name], float(roster.leads(each)))
            behind.add_metric([each.name], roster.revision - each.revision)
        writes = GaugeMetricFamily(
            "haldane_controller_writes",
            "1 for a controller that stores changes, 0 for one whose record schema keeps it from that",
            labels=["controller", "records"],
        )
        for each in roster.members:
            writes.add_metric([each.name, str(each.records)], float(each.writes is Writes.YES))
        term = GaugeMetricFamily("haldane_term", "The fencing token of the present term, 0 if there is none")
        term.add_metric([], roster.leader.token if roster.leader else 0)
        return leads, behind, writes, term
