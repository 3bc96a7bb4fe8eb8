"""What each connected proxy has reported: so that one whose figures are unlike those of all others can be found."""

from collections.abc import Iterable
from typing import NamedTuple

from controller.core.traffic.reports import IDLE, ClusterLoad
from controller.ports.report_admission import Reporter


class ReportedTotal(NamedTuple):
    """Requests that ended, and how many of them failed by the server's fault, as load reports count them."""

    requests: int = 0
    failed: int = 0


NOTHING = ReportedTotal()


class ReportTotals:
    """The sums of each node's load reports that count, for as long as it is connected. Mutable."""

    def __init__(self) -> None:
        self._totals: dict[tuple[str, str], ReportedTotal] = {}

    def add(self, reporter: Reporter, loads: Iterable[ClusterLoad]) -> None:
        """Add what counts of a load report."""
        ok = failed = 0
        for load in loads:
            if load is not IDLE:
                ok += load.ok
                failed += load.errors
        before = self.of(reporter.node, reporter.fleet)
        self._totals[reporter.node, reporter.fleet] = ReportedTotal(
            before.requests + ok + failed, before.failed + failed
        )

    def of(self, node: str, fleet: str) -> ReportedTotal:
        """What that node of that fleet has reported."""
        return self._totals.get((node, fleet), NOTHING)

    def forget(self, node: str, fleet: str) -> None:
        """That node has no stream any more."""
        self._totals.pop((node, fleet), None)
