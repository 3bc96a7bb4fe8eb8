"""What is watched: the channels of evidence, the nulls they bet against, and how the error budget is shared out.

The budget is one bet: weights that total 1 over channels, alternatives and starting times. The average of e-processes
is an e-process under any dependence between them, so nothing else needs correction; a weight w costs log(1/w) once.
It is fixed by the policy before the rollout starts, never changed while it runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from controller.core.base.identity_cache import by_identity
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import Null
from controller.core.model.service import Policy

ALTERNATIVES = ((0.004, 0.23), (0.02, 0.52), (0.1, 0.12), (0.5, 0.13))
"""Errors above what the null allows, as shares, each with its part of the channel's wealth. In points and not as
ratios: in an incident that both sides share a bet on two points more stakes little by itself."""
COLD_SHARES = (0.0, 0.1, 0.45, 0.45)
"""Their parts during the warm-up: against its wide margin only large differences can be shown."""
CLIENT_ALTERNATIVES = ((0.015, 0.5), (0.06, 0.3), (0.4, 0.2))
"""Likewise for client errors."""
STUCK = ((0.3, 0.4), (0.8, 0.6))
"""Likewise for requests that are not answered at all."""
ODDS = ((1.7, 0.5), (5.0, 0.5))
"""Slow answers: how many times the odds that the null allows."""
LIMITS = ((0.006, 0.3), (0.025, 0.4), (0.15, 0.3))
"""The share of answers above the absolute limit of p99 beyond the 1 % that is allowed."""
SHIFTS = ((0.06, 0.6), (0.20, 0.4))
"""The mean rank above what the null allows."""
MOST_GAIN = 30.0
"""No single bad answer counts for more than this factor, so no rollback rests on fewer than three of them."""

QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
"""Stable's running quantiles at which the distribution of latency is cut into bins."""
SHIFT_MARGIN = 0.02
TAILS = {
    "latency_p50": (QUANTILES.index(0.50), 0.02),
    "latency_p75": (QUANTILES.index(0.75), 0.02),
    "latency_p90": (QUANTILES.index(0.90), 0.015),
    "latency_p95": (QUANTILES.index(0.95), 0.01),
    "latency_p99": (QUANTILES.index(0.99), 0.003),
}
"""The quantiles that are channels of their own: each one's place in `QUANTILES`, and the share by which the canary may
exceed it."""
ALTERNATIVES_OF = {
    "5xx": ALTERNATIVES,
    "4xx": CLIENT_ALTERNATIVES,
    "overdue": STUCK,
    "errors_max": ALTERNATIVES,
    "latency": SHIFTS,
    "latency_max": LIMITS,
    **dict.fromkeys(TAILS, ODDS),
}
"""The alternatives of each channel, each with its part of the channel's stake."""

SHARES_OF = {name: tuple([share for _, share in alternatives]) for name, alternatives in ALTERNATIVES_OF.items()}
"""Those parts alone; `COLD_SHARES_OF` during the warm-up."""
COLD_SHARES_OF = {**SHARES_OF, "5xx": COLD_SHARES, "errors_max": COLD_SHARES}

WARM_UP_MARGIN = 0.05
"""Errors allowed above stable's during the warm-up, as a share."""
STUCK_MARGIN = 0.05
STUCK_MARGIN_COLD = 0.5

_WEIGHTS = {
    "5xx": 0.54,
    "4xx": 0.08,
    "overdue": 0.03,
    "latency": 0.10,
    "latency_p50": 0.01,
    "latency_p75": 0.02,
    "latency_p90": 0.03,
    "latency_p95": 0.05,
    "latency_p99": 0.14,
}
_LIMIT_WEIGHT = 0.15
"""What an absolute limit gets, if there is one."""

GATE_METRICS = ("5xx", "4xx", "latency_p50", "latency_p99")
"""What must be shown to be harmless before a step is left."""
GATE_TARGETS = ((0.15, 1.0),)
"""The alternative at a gate: the canary is worse than stable by this part of the margin."""
RISK = 0.0125
"""Margin times next weight at a gate: what a wrong step may cost in errors, as a share of all traffic."""


class Level(NamedTuple):
    """What must be shown before a step is left: the canary's excess is below these shares, one for each gate metric."""

    errors: float
    client_errors: float
    median: float
    tail: float


LADDER = (
    Level(0.10, 0.10, 0.30, 0.15),
    Level(0.05, 0.05, 0.20, 0.08),
    Level(0.02, 0.03, 0.12, 0.04),
    Level(0.01, 0.025, 0.08, 0.025),
    Level(0.004, 0.02, 0.05, 0.015),
)
"""The wider the exposure that follows, the smaller the margin. For the default error margin of 0.1 %."""
GATE_SLACK = 1.21
"""At the gate of the p99 an answer is slow beyond the policy's tolerance and this factor more (1.1 x 1.21 = 1.33): so
few lie about there that proof at the tolerance itself would take hours. At the gate of the p50 it is the tolerance."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that follows from a policy alone."""

    weights: dict[str, float]
    harm: Null
    """For errors, after the warm-up."""
    cold: Null
    ladder: tuple[Mapping[str, float], ...]
    """The levels that some step asks for, the widest first: the margin of each gate metric."""
    rung: tuple[int, ...]
    """Per step, which of them it asks for."""
    limit: float
    """The wealth at which harm is shown: 1/alpha."""
    gate_limit: float

    def rung_of(self, step: int) -> int:
        """Where on the ladder a step's gate stands."""
        return self.rung[step if step < len(self.rung) else -1]


@by_identity
def plan_of(policy: Policy) -> Plan:
    """The plan of a policy."""
    weights = dict(_WEIGHTS)
    if policy.errors.max is not None:
        weights["errors_max"] = _LIMIT_WEIGHT
    if policy.latency.p99 is not None:
        weights["latency_max"] = _LIMIT_WEIGHT
    total = sum(weights.values())
    errors = policy.errors
    nexts = (*policy.steps[1:], TOTAL_WEIGHT)
    levels = [_level(weight / TOTAL_WEIGHT, max(1.0, errors.margin / 0.001)) for weight in nexts]
    ladder = sorted(set(levels), key=lambda level: -level.errors)
    return Plan(
        weights={name: weight / total for name, weight in weights.items()},
        harm=Null(errors.ratio, errors.margin),
        cold=Null(errors.ratio, max(errors.margin, WARM_UP_MARGIN)),
        ladder=tuple(dict(zip(GATE_METRICS, level, strict=True)) for level in ladder),
        rung=tuple(ladder.index(level) for level in levels),
        limit=1 / policy.false_rollback,
        gate_limit=1 / (1 - policy.confidence),
    )


def _level(exposure: float, scale: float) -> Level:
    wanted = RISK / exposure
    fitting = [level for level in LADDER[:-1] if level.errors <= wanted] if exposure < 1 else []
    level = fitting[0] if fitting else LADDER[-1]
    return Level(min(0.5, level.errors * scale), level.client_errors, level.median, level.tail)
