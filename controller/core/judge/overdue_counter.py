"""Unanswered requests: found from counts alone, long before they time out.

At most `answered` of the requests that were started up to a time can have been answered since, so
at least `started(t - patience) - answered(t)` of them are older than `patience`. The bound needs no
single request to be tracked.
"""

from typing import NamedTuple

from controller.core.judge.block import MOMENT, SideCounts

MOST_KEPT = 128
"""Entries in the history of starts; where ticks are shorter, neighbours are merged."""


class OverdueCounter(NamedTuple):
    """One version's requests in flight.

    `history` holds (time, requests started by then). `due` counts the requests that were started
    longer ago than the patience, `most_overdue` the most that were ever found unanswered among
    them.
    """

    history: tuple[tuple[float, int], ...] = ()
    started: int = 0
    answered: int = 0
    due: int = 0
    most_overdue: int = 0

    def after(self, now: float, started: int, answered: int, patience: float) -> tuple["OverdueCounter", SideCounts]:
        """With a tick's increments: the counter, and the newly due and newly overdue requests.

        The newly overdue are never more than the newly due. Times and `patience` are in seconds.
        """
        total, done = self.started + started, self.answered + answered
        history, cut, due = self.history, 0, self.due
        limit = now - patience + MOMENT
        for at, started_by_then in history:
            if at > limit:
                break
            due = started_by_then
            cut += 1
        history = (*(history[cut:] if cut else history), (now, total))
        if len(history) > MOST_KEPT:
            history = history[1::2]
        most_overdue = due - done if due - done > self.most_overdue else self.most_overdue
        newly_due, newly_overdue = due - self.due, most_overdue - self.most_overdue
        counter = OverdueCounter(history, total, done, due, most_overdue)
        return counter, (newly_due, newly_overdue if newly_overdue < newly_due else newly_due, True)
