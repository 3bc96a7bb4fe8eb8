"""Blocks of traffic: what both versions did between two bets, paired; closed by a rule that is blind to outcomes."""

from functools import cache
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT

ENOUGH = 2.0
"""A block is closed when this many requests are to be expected on the side that has the smaller weight."""
TOO_MANY = 4
"""A block that is so many times as large as needed and still one-sided begins anew: the two sides would otherwise be
compared over different times."""

MOMENT = 0.005
"""Seconds: what is due within so short a time is due now, so that rounded times lead to the same bets."""
PACE = 3.0
"""Seconds between two bets on what is seldom the first sign of harm."""
ALONE = 20.0
"""Where stable has less than one request for so many of the canary's, the canary is compared with stable's past."""


Told = tuple[int, int, bool]
"""Requests of one version, events among them, and whether it was told of the events at all."""


@cache
def needed(weight: int) -> float:
    """Requests on both sides together that close a block at this canary weight."""
    share = min(weight, TOTAL_WEIGHT - weight) / TOTAL_WEIGHT
    return ENOUGH / share if share > 0 else 1.0


class Block(NamedTuple):
    """An open block of counts. `q` is the guess of stable's rate, made when the block was opened and kept until it is
    closed: a guess that moved with the block's own outcomes would break the proof.

    `heard_c` and `heard_s` tell whether the side has been reported on since the block was opened.
    """

    q: float
    since: float = 0.0
    n_c: float = 0.0
    x_c: float = 0.0
    n_s: float = 0.0
    x_s: float = 0.0
    heard_c: bool = False
    heard_s: bool = False

    def after(self, canary: Told | None, stable: Told | None) -> "Block":
        """With what both did; None of a version that was not reported."""
        q, since, n_c, x_c, n_s, x_s, heard_c, heard_s = self
        if canary:
            n, x, heard = canary
            n_c, x_c, heard_c = n_c + n, x_c + x, heard_c or heard
        if stable:
            n, x, heard = stable
            n_s, x_s, heard_s = n_s + n, x_s + x, heard_s or heard
        return Block(q, since, n_c, x_c, n_s, x_s, heard_c, heard_s)

    def closes(self, weight: int, time: float, pace: float) -> bool:
        """Whether it has been open for `pace` seconds and both sides can be compared, or the canary with the past where
        it has all the traffic. Looks at the clock and at sizes alone."""
        if not self.heard_c or self.n_c < 1 or time - self.since < pace - MOMENT:
            return False
        if weight >= TOTAL_WEIGHT:
            return True
        return self.heard_s and self.n_s >= 1 and self.n_c + self.n_s >= needed(weight)

    @property
    def alone(self) -> bool:
        """Whether stable has too little traffic to compare with."""
        return self.n_s * ALONE < self.n_c

    def stale(self, weight: int) -> bool:
        """Whether it has waited for one side for so long that it must begin anew. Looks at sizes alone."""
        return (
            weight < TOTAL_WEIGHT
            and (self.n_c < 1 or self.n_s < 1)
            and self.n_c + self.n_s >= TOO_MANY * needed(weight)
        )
