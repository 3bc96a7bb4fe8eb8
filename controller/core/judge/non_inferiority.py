"""Non-inferiority: a step is left when the canary was shown to be no worse than a margin, not when
nothing was seen.

Each metric bets against the opposite null, P_canary >= P_stable + margin, so its wealth is evidence
of no harm. Every metric must reach 1/beta (an intersection-union test: no correction for their
number). Margins are additive and do not move: with a relative one an incident would open a wide
loophole. What is shown for a smaller margin holds for a larger one too, so the margins of all later
steps are bet on from the beginning.
"""

from collections.abc import Callable, Sequence
from math import exp, log
from typing import NamedTuple

from controller.core.judge.betting import Bet, Null, bernoulli_bets, e_value, grown
from controller.core.judge.block import PACE
from controller.core.judge.channels import GATE_TARGET
from controller.core.judge.paired_counts import PairedCounts

MOST = 20.0
"""Wealth is cut off at this many times the limit, so that a canary that turns bad is soon no longer
shown harmless."""
PLACED_COLD = 0.6
"""The part of the stake that bets during the warm-up."""
PROOF_PACE = 2 * PACE
"""Seconds between two bets on one metric; less where the dwell is short."""
LEAST_RATE, LEAST_ROOM = 0.0003, 0.01
"""The bet's rates stay this far from 0 and from 1."""


class MarginWealth(NamedTuple):
    """One metric against one margin: the stake that is not yet placed, and the wealth of what
    was."""

    unplaced: float = 1.0
    wealth: float = 0.0


class NonInferiorityTest(NamedTuple):
    """One metric against all margins, the widest first.

    `evidence` is the e-value at each margin: its own or that of a stricter one, which holds for it
    too. `counts` is what was seen since the last bet, by stratum, and `estimate` stable's estimated
    rate at the first of it.
    """

    margins: tuple[MarginWealth, ...]
    evidence: tuple[float, ...]
    since: float = 0.0
    estimate: float = 0.0
    counts: tuple[tuple[str, PairedCounts], ...] = ()

    @classmethod
    def of(cls, margins: int) -> "NonInferiorityTest":
        """Before any traffic."""
        return cls((MarginWealth(),) * margins, (1.0,) * margins)

    def with_block(
        self, time: float, estimate: float, counts: Sequence[tuple[str, PairedCounts]]
    ) -> "NonInferiorityTest":
        """With a closed block by stratum; the first one after a bet sets the estimate."""
        margins, evidence, since, first_estimate, before = self
        if not before:
            return NonInferiorityTest(margins, evidence, since or time, estimate, tuple(counts))
        if len(before) == len(counts) == 1 and before[0][0] == counts[0][0]:  # one stratum, as nearly always
            [(name, more)] = counts
            return NonInferiorityTest(margins, evidence, since, first_estimate, ((name, before[0][1].plus(more)),))
        known = dict(before)
        for name, more in counts:
            known[name] = known[name].plus(more) if name in known else more
        return NonInferiorityTest(margins, evidence, since, first_estimate, tuple(known.items()))

    def after_bet(
        self, time: float, left: float, first: int, margin_of: Callable[[int], float], most: float
    ) -> "NonInferiorityTest":
        """After betting on the counts, at all margins from the `first`-th on.

        `left` is the part of the stake that stays unplaced, `most` where wealth is cut off.
        """
        margins = list(self.margins)
        for i in range(first, len(margins)):
            unplaced, wealth = margins[i]
            fresh = unplaced - left if unplaced > left else 0.0
            gain = no_harm_e_value(self.estimate, margin_of(i), self.counts)
            wealth = grown(wealth + fresh, gain)
            margins[i] = MarginWealth(unplaced - fresh, wealth if wealth < most else most)
        evidence, best = [], 0.0
        for margin in reversed(margins):
            best = max(best, margin.unplaced + margin.wealth)
            evidence.append(best)
        return NonInferiorityTest(tuple(margins), tuple(reversed(evidence)), time)


def bound(test: NonInferiorityTest, first: int, limit: float) -> int | None:
    """The index of the smallest margin that the canary's excess is known to be below; None if of none.

    A confidence sequence: the test of every margin inverted. It and every wider margin that is
    still bet on, from the `first`-th, have reached `limit` = 1/beta. At the true excess the wealth
    reaches it with probability beta at most, however often one looks, so the bound is wrong with
    that probability at most over the whole rollout (Howard, Ramdas, McAuliffe, Sekhon,
    "Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021).
    """
    found = None
    for i in range(first, len(test.margins)):
        if test.margins[i].unplaced + test.margins[i].wealth < limit:
            break
        found = i
    return found


def requests_needed(at: MarginWealth, margin: float, q: float, r: float, limit: float) -> int | None:
    """Canary requests until the margin is shown if the canary is as stable is; None if it never
    would be.

    `q` is stable's rate, `r` canary requests per stable request, `limit` the evidence that is
    needed.
    """
    bet = _bet(q, margin, r)
    growth = q * bet.canary_event + (1 - q) * bet.canary_other
    growth += (q * bet.stable_event + (1 - q) * bet.stable_other) / r
    if growth <= 1e-9:
        return None
    missing = log(limit / max(at.wealth, at.unplaced * 0.5, exp(-20.0)))
    return max(1, round(missing / growth + 0.5))


def no_harm_e_value(estimate: float, margin: float, strata: Sequence[tuple[str, PairedCounts]]) -> float:
    """The e-value of a block against "worse than stable by the margin": those of its strata
    multiplied."""
    product = 1.0
    for _, counts in strata:
        product *= e_value(_bet(estimate, margin, counts.canary_n / counts.stable_n), counts)
    return product


def _bet(q: float, margin: float, r: float) -> Bet:
    """Against 'worse by the margin', for a canary that uses a small part of it."""
    most = 1 - margin - LEAST_ROOM
    q = q if q < most else most
    q = q if q > LEAST_RATE else LEAST_RATE
    [bet] = bernoulli_bets(Null(1.0, margin), q, (q + GATE_TARGET * margin,), r)
    return bet
