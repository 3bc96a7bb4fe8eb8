"""Counts of the last one or two minutes, as they are shown to people."""

from operator import add
from typing import NamedTuple

from controller.core.judge.arrivals import QUIET

SPAN = 2 * QUIET
"""Seconds after which counting starts again; one such span before is kept."""


class RecentCounts(NamedTuple):
    """Counts since the time `since`: the `old` ones up to `middle`, the `new` ones after it. Times
    in seconds."""

    since: float
    middle: float
    old: tuple[float, ...]
    new: tuple[float, ...]

    @classmethod
    def of(cls, time: float, counts: tuple[float, ...]) -> "RecentCounts":
        """The first counts."""
        return cls(time, time, (0.0,) * len(counts), counts)

    def after(self, time: float, counts: tuple[float, ...]) -> "RecentCounts":
        """With a block's counts."""
        since, middle, old, new = self
        if time - middle >= SPAN:
            return RecentCounts(middle, time, new, counts)
        return RecentCounts(since, middle, old, tuple(map(add, new, counts)))

    @property
    def counts(self) -> tuple[float, ...]:
        """All that is kept."""
        return tuple(map(add, self.old, self.new))
