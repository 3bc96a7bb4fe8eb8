"""What a custom metric said at one poll: counts, values, or nothing, and then why not. And its form
in a recording."""

from typing import Any, NamedTuple


class Counted(NamedTuple):
    """A rate: requests and events of both versions since the poll before. At 100 % stable's may be
    zeros."""

    canary_n: int
    canary_x: int
    stable_n: int
    stable_x: int


class Gauged(NamedTuple):
    """A value of each version; None for stable's where it has no traffic any more and cannot be
    read.

    It is worse where it is higher, or lower, by more than `slack`; `k` of `n` readings decide.
    """

    canary: float
    stable: float | None
    higher: bool
    k: int
    n: int
    slack: float = 0.0

    def worse_than(self, level: float, margin: float) -> bool:
        """Whether the canary is worse than this level of stable by more than a share of it, and
        beyond the slack."""
        excess = self.canary - level if self.higher else level - self.canary
        return excess > max(margin * abs(level), self.slack)


class Unread(NamedTuple):
    """Nothing, and why. `heard`: there was an answer, and nothing can be concluded from it: that is
    no blindness."""

    why: str
    heard: bool = False


Reading = Counted | Gauged | Unread


def joined(before: Reading | None, reading: Reading) -> Reading:
    """Two readings as one: no count is lost; of anything else the newest holds."""
    if isinstance(before, Counted):
        if isinstance(reading, Counted):
            return Counted(*(a + b for a, b in zip(before, reading, strict=True)))
        if isinstance(reading, Unread):
            return before
    return reading


def plain(reading: Reading) -> Any:
    """As JSON values: a text, or two, four or six values."""
    return reading.why if isinstance(reading, Unread) and not reading.heard else list(reading)


def read_plain(stored: Any) -> Reading:
    """What `plain` gave; TypeError or KeyError for anything else."""
    if isinstance(stored, str):
        return Unread(stored)
    made: Reading = {2: Unread, 4: Counted, 6: Gauged}[len(stored)](*stored)
    return made
