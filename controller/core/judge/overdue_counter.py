"""Unanswered requests: found from counts alone, long before they time out.

Of the requests in progress at most those that were started within the patience are younger than it.
So at least `in progress - started(t - patience, t]` are older. The bound needs no single request to
be tracked, and a request that its client gave up on is in progress no longer.
"""

from math import isfinite
from typing import NamedTuple

from controller.core.judge.arrivals import QUIET
from controller.core.judge.block import MOMENT, SideCounts
from controller.core.traffic.window import Sample

MOST_KEPT = 128
"""Entries in the history of starts; where ticks are shorter, neighbours are merged."""


class OverdueCounter(NamedTuple):
    """One version's requests in flight.

    `history` holds (time, requests started by then). `due` counts the requests that were started
    longer ago than the patience, `most_overdue` the most that were lately found unanswered among
    them. `in_progress` is Envoy's own number where it is reported, else what the counts leave.
    """

    history: tuple[tuple[float, int], ...] = ()
    started: int = 0
    in_progress: int = 0
    due: int = 0
    most_overdue: float = 0.0

    def after(self, now: float, sample: Sample, patience: float) -> tuple["OverdueCounter", SideCounts]:
        """With a tick's sample: the counter, and the newly due and newly overdue requests.

        The newly overdue are never more than the newly due. Times and `patience` are in seconds;
        with an infinite patience nothing is overdue.
        """
        total = self.started + sample.started
        left = self.in_progress + sample.started - sample.answered - sample.cancelled
        in_progress = max(0, left) if sample.in_progress is None else sample.in_progress
        if not isfinite(patience):
            return OverdueCounter((), total, in_progress, total), (0, 0, True)
        history, cut, due = self.history, 0, self.due
        seconds = now - history[-1][0] if history else 0.0
        limit = now - patience + MOMENT
        for at, started_by_then in history:
            if at > limit:
                break
            due = started_by_then
            cut += 1
        history = (*(history[cut:] if cut else history), (now, total))
        if len(history) > MOST_KEPT:
            history = history[1::2]
        overdue = max(0, in_progress - (total - due))
        newly_due = due - self.due
        newly_overdue = min(newly_due, max(0, int(overdue - self.most_overdue)))
        most_overdue = max(float(overdue), self.most_overdue * 0.5 ** (seconds / QUIET))
        return OverdueCounter(history, total, in_progress, due, most_overdue), (newly_due, newly_overdue, True)
