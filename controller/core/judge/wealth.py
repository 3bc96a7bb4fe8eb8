"""Wealth: what each channel's bets have earned, started at many times.

A bet that has run since the beginning has lost its stake by the time that a late regression begins.
So the stake is not placed at once: part of it at the start, part when the warm-up ends, some at
each change of weight, the rest little by little forever. What is not placed yet keeps its value.
The sum is still one e-process, because the clock and the weights decide when a stake is placed,
never the outcomes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controller.core.judge.betting import grown

PLACED_COLD = 0.2
"""The part of the stake that bets from the first request on, against the warm-up's wide margins."""
PLACED_WARM = 0.75
"""The part that bets once the warm-up is over."""
PLACED_AT_CHANGE = 0.1
"""The part of what is left that is placed when the weight changes: a canary may be bad under load
alone."""
PLACED_AT_BAKE = 0.6
"""Likewise when the canary gets most of the traffic: what a fault costs then is worth the stake."""
PACE = 600.0
"""Seconds: at time t after the warm-up, what is left falls as PACE/(PACE + t), so it never runs
out."""


class Wealth(NamedTuple):
    """One channel's wealth: the stake that is not yet placed, and what each of its bets has now.

    The total starts as the channel's weight in the plan.
    """

    unplaced: float
    bets: tuple[float, ...]

    @classmethod
    def of(cls, weight: float, bets: int) -> "Wealth":
        """At the start: all of it unplaced."""
        return cls(weight, (0.0,) * bets)

    @property
    def total(self) -> float:
        """The channel's part of the e-value."""
        return self.unplaced + sum(self.bets)

    def without_gains(self, weight: float, shares: Sequence[float]) -> "Wealth":
        """With no bet above what was staked on it. `weight` is the channel's in the plan."""
        unplaced, bets = self
        staked = weight - unplaced
        return Wealth(unplaced, tuple([min(bet, staked * share) for bet, share in zip(bets, shares, strict=True)]))

    def at_most(self, most: float) -> "Wealth":
        """With no bet above `most`."""
        return Wealth(self.unplaced, tuple([min(bet, most) for bet in self.bets]))

    def after(self, left: float, shares: Sequence[float], e_values: Sequence[float]) -> "Wealth":
        """After a block: the stake above `left` is placed, each bet gets its share of it, then
        every bet grows by its e-value."""
        unplaced, bets = self
        fresh = unplaced - left if unplaced > left else 0.0
        staked = zip(bets, shares, e_values, strict=True)
        return Wealth(unplaced - fresh, tuple([grown(bet + fresh * share, e) for bet, share, e in staked]))


def left_after(left: float, since_warm: float, seconds: float, *, warm: bool, placed: float) -> float:
    """The part of every stake that is still unplaced, `seconds` later. `since_warm` is counted at
    the end of them; `placed` is the part of the rest that a change of weight places now."""
    if not warm:
        return min(left, 1.0 - PLACED_COLD)
    left = min(left, 1.0 - PLACED_WARM)
    before = max(0.0, since_warm - seconds)
    left *= (PACE + before) / (PACE + since_warm)
    return left * (1.0 - placed)
