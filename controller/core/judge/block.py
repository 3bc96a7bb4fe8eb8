"""Blocks of traffic: what both versions did between two bets, paired; closed by a rule that is
blind to outcomes."""

from functools import cache
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.paired_counts import PairedCounts

ENOUGH = 2.0
"""A block closes when this many requests can be expected on the side that has the smaller
weight."""
TOO_MANY = 4
"""A block that is so many times as large as needed, though one version has had no request, starts
again: the two sides would otherwise be compared over different times."""

MOMENT = 0.005
"""Seconds. What is due within so short a time is due now, so that rounded times lead to the same
bets."""
ERROR_PACE = 1.0
"""Seconds between two bets on server errors and on unanswered requests. Failures come in clusters:
what fails within a second is one event, however many requests it hit."""
PACE = 3.0
"""Seconds between two bets on what is seldom the first sign of harm."""
ALONE = 20.0
"""With less than one stable request for so many of the canary's, the canary is compared with
stable's past."""


SideCounts = tuple[int, int, bool]
"""One version in one tick: requests, how many were events, and whether events were reported at all.
"""


@cache
def block_size(weight: int) -> float:
    """Requests of both versions together that close a block at this canary weight (in basis
    points)."""
    share = min(weight, TOTAL_WEIGHT - weight) / TOTAL_WEIGHT
    return ENOUGH / share if share > 0 else 1.0


class Block(NamedTuple):
    """An open block of counts, open since `since` (seconds of observation).

    `estimate` is stable's estimated rate. It is set when the block opens and kept until it closes:
    an estimate that moved with the block's own outcomes would break the proof. `canary_reported`
    and `stable_reported` say whether the side has been reported since the block opened.
    """

    estimate: float
    since: float = 0.0
    canary_n: float = 0.0
    canary_events: float = 0.0
    stable_n: float = 0.0
    stable_events: float = 0.0
    canary_reported: bool = False
    stable_reported: bool = False

    def after(self, canary: SideCounts | None, stable: SideCounts | None) -> "Block":
        """With one tick's counts; None for a version without a report."""
        estimate, since, n_c, x_c, n_s, x_s, reported_c, reported_s = self
        if canary:
            n, x, reported = canary
            n_c, x_c, reported_c = n_c + n, x_c + x, reported_c or reported
        if stable:
            n, x, reported = stable
            n_s, x_s, reported_s = n_s + n, x_s + x, reported_s or reported
        return Block(estimate, since, n_c, x_c, n_s, x_s, reported_c, reported_s)

    @property
    def counts(self) -> PairedCounts:
        """What both versions did."""
        return PairedCounts(self.canary_n, self.canary_events, self.stable_n, self.stable_events)

    def closes(self, weight: int, time: float, pace: float) -> bool:
        """Whether it has been open for `pace` seconds and the sides can be compared.

        At full weight the canary alone is enough: it is compared with stable's past. The rule uses
        the clock and sizes, never outcomes.
        """
        if not self.canary_reported or self.canary_n < 1 or time - self.since < pace - MOMENT:
            return False
        if weight >= TOTAL_WEIGHT:
            return True
        return self.stable_reported and self.stable_n >= 1 and self.canary_n + self.stable_n >= block_size(weight)

    @property
    def alone(self) -> bool:
        """Whether stable has too little traffic to compare with."""
        return self.stable_n * ALONE < self.canary_n

    def stale(self, weight: int) -> bool:
        """Whether it has waited for one side for so long that it must start again. The rule uses
        sizes alone."""
        return (
            weight < TOTAL_WEIGHT
            and (self.canary_n < 1 or self.stable_n < 1)
            and self.canary_n + self.stable_n >= TOO_MANY * block_size(weight)
        )
