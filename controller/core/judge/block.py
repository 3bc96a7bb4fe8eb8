"""Blocks of traffic: what both versions did between two bets, paired; closed by a rule that is
blind to outcomes."""

from collections.abc import Sequence
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
"""Seconds between two bets on server errors, and on unanswered requests. Failures come in clusters:
what fails within a second is one event, however many requests it hit."""
PACE = 4.0
"""Seconds between two bets on what is seldom the first sign of harm, or needs many responses: client
errors and quantiles."""
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


class StratumCounts(NamedTuple):
    """One stratum's part of an open block. `canary_reported` and `stable_reported` say whether the
    version has been reported since the block opened."""

    canary_n: float = 0.0
    canary_events: float = 0.0
    stable_n: float = 0.0
    stable_events: float = 0.0
    canary_reported: bool = False
    stable_reported: bool = False

    def after(self, canary: SideCounts | None, stable: SideCounts | None) -> "StratumCounts":
        """With one tick's counts; None for a version without a report."""
        n_c, x_c, n_s, x_s, reported_c, reported_s = self
        if canary:
            n, x, reported = canary
            n_c, x_c, reported_c = n_c + n, x_c + x, reported_c or reported
        if stable:
            n, x, reported = stable
            n_s, x_s, reported_s = n_s + n, x_s + x, reported_s or reported
        return StratumCounts(n_c, x_c, n_s, x_s, reported_c, reported_s)

    @property
    def counts(self) -> PairedCounts:
        """What both versions did."""
        n_c, x_c, n_s, x_s, _, _ = self
        return PairedCounts(n_c, x_c, n_s, x_s)

    @property
    def two_sided(self) -> bool:
        """Whether both versions had requests."""
        return self.canary_n >= 1 and self.stable_n >= 1


NO_COUNTS = StratumCounts()
TickCounts = Sequence[tuple[str, SideCounts | None, SideCounts | None]]
"""One tick, by stratum: its name, the canary's counts, stable's; None for a version without a
report."""


class Block(NamedTuple):
    """An open block of counts, open since `since` (seconds of observation), apart by stratum.

    A stratum is a group of proxies that serve one split. Counts of proxies with different splits
    must not be added up: with another mix of requests at each, the sum would show a difference
    where there is none, or hide one (Simpson's paradox).

    `estimate` is stable's estimated rate. It is set when the block opens and kept until it closes:
    an estimate that moved with the block's own outcomes would break the proof.
    """

    estimate: float
    since: float = 0.0
    strata: tuple[tuple[str, StratumCounts], ...] = ()

    def after(self, tick: TickCounts) -> "Block":
        """With one tick's counts."""
        if len(tick) == 1 and len(self.strata) < 2:  # one stratum, as nearly always
            [(name, canary, stable)] = tick
            before = self.strata[0][1] if self.strata else NO_COUNTS
            if not self.strata or self.strata[0][0] == name:
                return Block(self.estimate, self.since, ((name, before.after(canary, stable)),))
        known = dict(self.strata)
        for name, canary, stable in tick:
            known[name] = known.get(name, NO_COUNTS).after(canary, stable)
        return Block(self.estimate, self.since, tuple(known.items()))

    @property
    def counts(self) -> PairedCounts:
        """What both versions did, in all strata together."""
        if len(self.strata) == 1:
            n_c, x_c, n_s, x_s, _, _ = self.strata[0][1]
            return PairedCounts(n_c, x_c, n_s, x_s)
        total = PairedCounts()
        for _, stratum in self.strata:
            total = total.plus(stratum.counts)
        return total

    def comparable(self, weight: int) -> list[tuple[str, PairedCounts]]:
        """By stratum, what can be compared: both versions had requests, or the canary at full
        weight, where it is compared with stable's past."""
        full = weight >= TOTAL_WEIGHT
        return [(name, each.counts) for name, each in self.strata if each.two_sided or (full and each.canary_n >= 1)]

    def closes(self, weight: int, time: float, pace: float) -> bool:
        """Whether it has been open for `pace` seconds and the sides can be compared.

        At full weight the canary alone is enough: it is compared with stable's past. The rule uses
        the clock and sizes, never outcomes.
        """
        if time - self.since < pace - MOMENT:
            return False
        full, reported_c, reported_s, comparable, n = weight >= TOTAL_WEIGHT, False, False, False, 0.0
        for _, (n_c, _, n_s, _, stratum_c, stratum_s) in self.strata:
            reported_c, reported_s = reported_c or stratum_c, reported_s or stratum_s
            comparable = comparable or (n_c >= 1 and (full or n_s >= 1))
            n += n_c + n_s
        if not comparable or not reported_c:
            return False
        return full or (reported_s and n >= block_size(weight))

    def reopened(self, weight: int, estimate: float, time: float) -> "Block":
        """The next block. A stratum that has waited for one version, and not too long, goes on."""
        if len(self.strata) == 1:
            return Block(estimate, time)
        most = TOO_MANY * block_size(weight)
        waiting = [(name, s) for name, s in self.strata if not s.two_sided and s.canary_n + s.stable_n < most]
        return Block(estimate, time, tuple(waiting))

    @property
    def alone(self) -> bool:
        """Whether stable has too little traffic to compare with."""
        canary_n, _, stable_n, _ = self.counts
        return stable_n * ALONE < canary_n

    def stale(self, weight: int) -> bool:
        """Whether it has waited for one side for so long that it must start again. The rule uses
        sizes alone."""
        if len(self.strata) == 1 and self.strata[0][1].two_sided:
            return False
        canary_n, _, stable_n, _ = self.counts
        one_sided = canary_n < 1 or stable_n < 1
        return weight < TOTAL_WEIGHT and one_sided and canary_n + stable_n >= TOO_MANY * block_size(weight)
