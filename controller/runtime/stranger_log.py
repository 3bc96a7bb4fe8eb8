"""The programs whose reports do not count, remembered beyond their streams: operators are to see them."""

from collections import OrderedDict

from controller.ports.clock import Clock
from controller.ports.report_admission import NotCounted, Reporter, StrangerStatus

SHOWN = 600.0
"""Seconds for which a stranger is shown after its last report."""
MAX_STRANGERS = 256
"""Strangers that are remembered; beyond it the one that has been silent longest is forgotten."""


class StrangerLog:
    """The latest strangers. One that becomes a proxy is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._strangers: OrderedDict[Reporter, StrangerStatus] = OrderedDict()

    def add(self, reporter: Reporter, reason: NotCounted) -> None:
        """A report of this reporter has arrived of which something does not count, and why."""
        now = self._clock.wall()
        known = self._strangers.pop(reporter, None)
        since, reports = (known.since, known.reports) if known else (now, 0)
        status = StrangerStatus(reporter.node, reporter.fleet, reporter.peer, reason, since, now, reports + 1)
        self._strangers[reporter] = status
        if len(self._strangers) > MAX_STRANGERS:
            self._strangers.popitem(last=False)

    def find(self, reporter: Reporter) -> StrangerStatus | None:
        """What is known of this reporter; None if all of its last report counts."""
        return self._strangers.get(reporter)

    def forget(self, reporter: Reporter) -> None:
        """All of this reporter's last report counts."""
        self._strangers.pop(reporter, None)

    def statuses(self) -> tuple[StrangerStatus, ...]:
        """Those that reported within the last minutes, also if they have gone, by fleet and node."""
        since = self._clock.wall() - SHOWN
        return tuple(sorted((s for s in self._strangers.values() if s.last_report >= since), key=_name))


def _name(stranger: StrangerStatus) -> tuple[str, str, str]:
    return stranger.fleet, stranger.node, stranger.peer
