"""The bets on harm of one hypothesis about a rate: its margin to stable, or one of its absolute limits."""

from collections.abc import Sequence
from typing import NamedTuple

from controller.core.judge.betting import HIGHEST, Null, e_values, grown
from controller.core.judge.paired_counts import PairedCounts

ALTERNATIVES = ((0.02, 0.4), (0.1, 0.4), (0.3, 0.2))
"""Rates above what is allowed, as shares, each with its part of the stake."""
PLACED, PLACED_LATER = 0.5, 0.05
"""The part of the stake that bets from the first block on; and of the rest, what each later block
adds."""


class HarmBets(NamedTuple):
    """The wealth that is not placed yet, and that of each alternative."""

    unplaced: float = 1.0
    bets: Sequence[float] = (0.0,) * len(ALTERNATIVES)

    @property
    def evidence(self) -> float:
        """The e-value of harm."""
        return self.unplaced + sum(self.bets)

    def after(self, null: Null, q: float, r: float, block: PairedCounts) -> "HarmBets":
        """After a block. `q` is a guess of stable's rate from before it, `r` canary requests per stable request."""
        allowed = null.ratio * q + null.margin
        if allowed >= HIGHEST:
            return self
        fresh = self.unplaced * (PLACED_LATER if any(self.bets) else PLACED)
        targets = [min(allowed + more, (HIGHEST + allowed) / 2) for more, _ in ALTERNATIVES]
        gains = e_values(null, q, targets, r, block)
        bets = tuple(
            grown(bet + fresh * share, e) for bet, (_, share), e in zip(self.bets, ALTERNATIVES, gains, strict=True)
        )
        return HarmBets(self.unplaced - fresh, bets)
