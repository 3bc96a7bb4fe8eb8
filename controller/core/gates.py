"""The gates: a step is left when the canary has been shown to be no worse than a margin, not when nothing was seen.

Each gate metric bets against the opposite null, P_canary >= P_stable + margin, so its wealth is evidence of no harm.
Every metric must reach 1/beta (an intersection-union test: no correction for their number). Margins are additive and
do not move: with a relative one an incident would open a wide loophole. What is shown for a smaller margin holds for a
larger one too, so all later gates are bet on from the beginning.
"""

from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

from controller.core.channels import GATE_ODDS
from controller.core.evidence import Null, bernoulli_bet, e_value, grown

MOST = 20.0
"""Wealth is cut off at this many times the limit, so a canary that turns bad closes its gates soon."""
PLACED_COLD = 0.6
"""The part of the stake that bets during the warm-up."""
LEAST_RATE = 0.0005


class Gate(NamedTuple):
    """One metric against one margin: the stake not yet placed and the wealth of its bets."""

    unplaced: float = 1.0
    bets: tuple[float, ...] = (0.0,) * len(GATE_ODDS)

    @property
    def total(self) -> float:
        """The evidence of no harm."""
        return self.unplaced + sum(self.bets)

    def after(self, left: float, margin: float, q: float, counts: Sequence[float], most: float) -> "Gate":
        """After a block of (n_c, x_c, n_s, x_s) in which q was the guess of stable's rate."""
        n_c, x_c, n_s, x_s = counts
        fresh = self.unplaced - left if self.unplaced > left else 0.0
        null, q, r = Null(1.0, margin), min(max(q, LEAST_RATE), 1 - margin - 0.01), n_c / n_s
        bets = []
        for wealth, (part, share) in zip(self.bets, GATE_ODDS, strict=True):
            e = e_value(bernoulli_bet(null, q, q + part * margin, r), n_c, x_c, n_s, x_s)
            bets.append(min(most, grown(wealth + fresh * share, e)))
        return Gate(self.unplaced - fresh, tuple(bets))


def still_needed(gate: Gate, margin: float, q: float, r: float, limit: float) -> int | None:
    """Canary requests until the gate opens if the canary is as stable is; None if it never would."""
    null, q = Null(1.0, margin), min(max(q, LEAST_RATE), 1 - margin - 0.01)
    bet = bernoulli_bet(null, q, q, r)
    growth = q * bet.canary_event + (1 - q) * bet.canary_other
    growth += (q * bet.stable_event + (1 - q) * bet.stable_other) / r
    missing = log(limit / max(gate.bets[0], gate.unplaced * 0.5, exp(-20.0)))
    if growth <= 1e-9 or missing <= 0:
        return None if growth <= 1e-9 else 1
    return max(1, round(missing / growth + 0.5))
