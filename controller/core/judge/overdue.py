"""Requests that are not answered: found from counts alone, long before they time out.

At most `answered` of the requests that were started up to a time can have been answered since, so at least
`started(t - patience) - answered(t)` of them are older than `patience`. The bound needs no request to be followed.
"""

from typing import NamedTuple

from controller.core.judge.blocks import MOMENT

MOST_KEPT = 128
"""Entries of the history of starts; where ticks are shorter, neighbours are merged."""


class InFlight(NamedTuple):
    """One side's books: what was started by when, and the most that was ever found overdue."""

    history: tuple[tuple[float, int], ...] = ()
    started: int = 0
    answered: int = 0
    aged: int = 0
    """Of `started`, those that were started longer ago than the patience."""
    worst: int = 0

    def after(self, now: float, started: int, answered: int, patience: float) -> tuple["InFlight", int, int]:
        """With the increments of a tick: the books, how many more requests came of age, how many more are overdue.

        Those newly overdue are never more than those newly of age.
        """
        history, total, done, aged_before, worst_before = self
        total, done = total + started, done + answered
        history = (*history, (now, total))
        cut, aged = 0, aged_before
        limit = now - patience + MOMENT
        while cut < len(history) and history[cut][0] <= limit:
            aged = history[cut][1]
            cut += 1
        history = history[cut:]
        if len(history) > MOST_KEPT:
            history = history[1::2]
        worst = aged - done if aged - done > worst_before else worst_before
        came, more = aged - aged_before, worst - worst_before
        return InFlight(history, total, done, aged, worst), came, more if more < came else came
