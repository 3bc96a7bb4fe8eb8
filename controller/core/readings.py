"""What a custom metric said at one poll: counts, values, or nothing, and then why not."""

from typing import NamedTuple


class Counted(NamedTuple):
    """A rate: requests and events of both versions since the poll before."""

    canary_n: int
    canary_x: int
    stable_n: int
    stable_x: int


class Gauged(NamedTuple):
    """A value of each version. It is worse where it is higher, or lower; `k` of `n` readings decide."""

    canary: float
    stable: float
    higher: bool
    k: int
    n: int

    @property
    def excess(self) -> float:
        """By which share of stable's value the canary is worse; below 0 it is better."""
        worse = self.canary - self.stable if self.higher else self.stable - self.canary
        return worse / max(abs(self.stable), 1e-9)


class Unread(NamedTuple):
    """Nothing, and why."""

    why: str


Reading = Counted | Gauged | Unread
