"""Wealth: what each channel's bets have earned, started at many times.

A bet that has run since the beginning has lost its stake by the time that a late regression begins.
So the stake is not placed at once: part of it at the start, part when the warm-up ends and when the
bake begins, the rest little by little forever. What is not placed yet keeps its value.
The sum is still one e-process, because the clock and the weights decide when a stake is placed,
never the outcomes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controller.core.judge.betting import grown

PLACED_COLD = 0.1
"""The part of the stake that bets from the first request on, against the warm-up's wide margins."""
PLACED_WARM = 0.6
"""The part that bets once the warm-up is over. More would find a fault of that moment sooner, and one
of the bake later."""
PLACED_AT_BAKE = 0.7
"""The part of what is left that is placed when the bake begins: what a fault costs then is worth the
stake."""
MOST_OF_BLOCK = 12.0
"""The factor that a block counts for at most as evidence of harm. What goes wrong within a second
(a pod that is out, a client that retries, a pause) is one event, however many requests it hit: no
rollback rests on fewer than three such seconds. A censored likelihood ratio (Huber 1965; for
composite nulls Saha, Ramdas, "Huber-robust likelihood ratio tests", 2024): where the canary alone is
hit in at most a share eps of the blocks given their past, a block's expected factor is at most
1 + eps * (12 - 1), which for one second in an hour costs 0.003 nats a block."""
OUTAGE_STAKED = 0.0005
"""The part of its stake that the bet on an outage risks in a block, beside all that it has won. A
block of an outage multiplies what is risked by thousands, of which the cap counts 12: more would not
win more, and be lost in the first seconds without an outage. So the stake lasts for half an hour,
and four seconds of an outage suffice however late it comes."""
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

    def scaled(self, factor: float) -> "Wealth":
        """With this part of each bet's wealth."""
        return Wealth(self.unplaced, tuple([bet * factor for bet in self.bets]))

    def after(self, left: float, shares: Sequence[float], e_values: Sequence[float], kept: float = 0.0) -> "Wealth":
        """After a block: the stake above `left` is placed, each bet gets its share of it, then
        every bet grows by its e-value, at most by `MOST_OF_BLOCK`.

        `kept` of the last bet, if it has so much, is not risked in this block.
        """
        unplaced, bets = self
        fresh = unplaced - left if unplaced > left else 0.0
        after, bet = [], 0.0
        for bet, share, e in zip(bets, shares, e_values, strict=True):
            bet += fresh * share
            after.append(grown(bet, e if e < MOST_OF_BLOCK else MOST_OF_BLOCK))
        if kept:
            kept = kept if kept < bet else bet
            after[-1] = min(bet * MOST_OF_BLOCK, kept + grown(bet - kept, e_values[-1]))
        return Wealth(unplaced - fresh, tuple(after))


def left_after(left: float, since_warm: float, seconds: float, *, warm: bool, bake_begins: bool) -> float:
    """The part of every stake that is still unplaced, `seconds` later. `since_warm` is counted at
    the end of them."""
    if not warm:
        return min(left, 1.0 - PLACED_COLD)
    left = min(left, 1.0 - PLACED_WARM)
    before = max(0.0, since_warm - seconds)
    left *= (PACE + before) / (PACE + since_warm)
    return left * (1.0 - PLACED_AT_BAKE) if bake_begins else left
