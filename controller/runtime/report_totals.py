"""What each connected proxy has reported: so that one whose figures are unlike those of all others can be found."""

from collections.abc import Mapping

from controller.core.model.cluster_names import cluster_name
from controller.core.model.rollout import Rollout
from controller.core.model.view import View
from controller.core.traffic.differing_proxies import ReportedTotal, differing_proxies
from controller.core.traffic.reports import IDLE, ClusterLoad
from controller.ports.clock import Clock
from controller.ports.fleet import ReportsPaced
from controller.ports.report_admission import Reporter

COMPARED_EVERY = 2.0
"""Seconds between two comparisons of all proxies on one canary: it walks over all of them."""
NOTHING = ReportedTotal()


class ReportTotals:
    """The sums of each node's load reports that count, for as long as it is connected; and apart, those on each canary
    since its rollout began. Mutable."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.paced: ReportsPaced | None = None
        """What proxies are asked for while their reports cannot all be taken in."""
        self._totals: dict[tuple[str, str], ReportedTotal] = {}
        self._canaries: dict[str, _Canary] = {}
        """By service."""

    def on_view(self, view: View) -> None:
        """Compare the proxies on the canaries of the rollouts that run in this view."""
        running = [state.rollout for state in view.services.values() if state.rollout and state.rollout.running]
        before, self._canaries = self._canaries, {}
        for rollout in running:
            known = before.get(rollout.service)
            is_known = known and known.rollout_id == rollout.id
            self._canaries[rollout.service] = known if known and is_known else _Canary(rollout)

    def add(self, reporter: Reporter, loads: Mapping[str, ClusterLoad]) -> None:
        """Add what counts of a load report, by cluster."""
        ok = failed = 0
        for load in loads.values():
            if load is not IDLE:
                ok += load.ok
                failed += load.errors
        key = reporter.node, reporter.fleet
        self._totals[key] = self.of(*key).plus(ok + failed, failed)
        for canary in self._canaries.values():
            if (load := loads.get(canary.cluster, IDLE)) is not IDLE:
                before = canary.totals.get(reporter.node, NOTHING)
                canary.totals[reporter.node] = before.plus(load.ok + load.errors, load.errors)

    def of(self, node: str, fleet: str) -> ReportedTotal:
        """What that node of that fleet has reported."""
        return self._totals.get((node, fleet), NOTHING)

    def differing(self, service: str) -> tuple[str, ...]:
        """The nodes whose requests to the service's canary fail unlike those of all others; seconds old at most."""
        canary, now = self._canaries.get(service), self._clock.monotonic()
        if canary is None:
            return ()
        if now - canary.compared_at >= COMPARED_EVERY:
            canary.compared_at, canary.differing = now, differing_proxies(canary.totals)
        return canary.differing

    def forget(self, node: str, fleet: str) -> None:
        """That node has no stream any more."""
        self._totals.pop((node, fleet), None)
        for canary in self._canaries.values():
            canary.totals.pop(node, None)


class _Canary:
    """What the proxies have reported on one canary, by node."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout_id = rollout.id
        self.cluster = cluster_name(rollout.service, rollout.canary)
        self.totals: dict[str, ReportedTotal] = {}
        self.compared_at = float("-inf")
        self.differing: tuple[str, ...] = ()
