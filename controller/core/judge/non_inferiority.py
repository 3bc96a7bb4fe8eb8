"""The gates: a step is left when the canary has been shown to be no worse than a margin, not when nothing was seen.

Each gate metric bets against the opposite null, P_canary >= P_stable + margin, so its wealth is evidence of no harm.
Every metric must reach 1/beta (an intersection-union test: no correction for their number). Margins are additive and
do not move: with a relative one an incident would open a wide loophole. What is shown for a smaller margin holds for a
larger one too, so all later gates are bet on from the beginning.
"""

from collections.abc import Callable
from math import exp, log
from typing import NamedTuple

from controller.core.judge.betting import Bet, Null, bernoulli_bet, e_value, grown
from controller.core.judge.channels import GATE_TARGETS

MOST = 20.0
"""Wealth is cut off at this many times the limit, so a canary that turns bad closes its gates soon."""
PLACED_COLD = 0.6
"""The part of the stake that bets during the warm-up."""
PACE = 5.0
"""Seconds that a gate's block stays open; less where the dwell is short."""
LEAST_RATE, LEAST_ROOM = 0.0003, 0.01


class Gate(NamedTuple):
    """One metric against one margin: the stake not yet placed, and the wealth of what was."""

    unplaced: float = 1.0
    wealth: float = 0.0


class Proof(NamedTuple):
    """One metric: what it saw since it bet last, and its gates, the widest margin first. `q` is the guess of stable's
    rate at that time. `shown` is the evidence at each gate: its own or that of a stricter one, which holds for it too.
    """

    gates: tuple[Gate, ...]
    shown: tuple[float, ...]
    since: float = 0.0
    q: float = 0.0
    n_c: float = 0.0
    x_c: float = 0.0
    n_s: float = 0.0
    x_s: float = 0.0

    @classmethod
    def of(cls, gates: int) -> "Proof":
        """Before anything was seen."""
        return cls((Gate(),) * gates, (1.0,) * gates)

    def with_block(self, time: float, q: float, n_c: float, x_c: float, n_s: float, x_s: float) -> "Proof":
        """With a closed block; the first one after a bet brings its guess."""
        gates, shown, since, guess, m_c, y_c, m_s, y_s = self
        if m_c:
            return Proof(gates, shown, since, guess, m_c + n_c, y_c + x_c, m_s + n_s, y_s + x_s)
        return Proof(gates, shown, since or time, q, n_c, x_c, n_s, x_s)

    def settled(self, time: float, left: float, ahead: int, margin_of: Callable[[int], float], most: float) -> "Proof":
        """After betting on what was seen, at all gates from the `ahead`-th on. `left` is what stays unplaced."""
        r = self.n_c / self.n_s
        gates = list(self.gates)
        for i in range(ahead, len(gates)):
            unplaced, wealth = gates[i]
            fresh = unplaced - left if unplaced > left else 0.0
            bet = _bet(self.q, margin_of(i), r)
            wealth = grown(wealth + fresh, e_value(bet, self.n_c, self.x_c, self.n_s, self.x_s))
            gates[i] = Gate(unplaced - fresh, wealth if wealth < most else most)
        shown, best = [], 0.0
        for gate in reversed(gates):
            best = max(best, gate.unplaced + gate.wealth)
            shown.append(best)
        return Proof(tuple(gates), tuple(reversed(shown)), time)


def still_needed(gate: Gate, margin: float, q: float, r: float, limit: float) -> int | None:
    """Canary requests until the gate opens if the canary is as stable is; None if it never would."""
    bet = _bet(q, margin, r)
    growth = q * bet.canary_event + (1 - q) * bet.canary_other
    growth += (q * bet.stable_event + (1 - q) * bet.stable_other) / r
    if growth <= 1e-9:
        return None
    missing = log(limit / max(gate.wealth, gate.unplaced * 0.5, exp(-20.0)))
    return max(1, round(missing / growth + 0.5))


def _bet(q: float, margin: float, r: float) -> Bet:
    """Against 'worse by the margin', for a canary that uses a small part of it."""
    most = 1 - margin - LEAST_ROOM
    q = q if q < most else most
    q = q if q > LEAST_RATE else LEAST_RATE
    [(used, _)] = GATE_TARGETS
    return bernoulli_bet(Null(1.0, margin), q, q + used * margin, r)
