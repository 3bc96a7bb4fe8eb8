"""The plan: which channels are judged, the nulls they bet against, and how the error budget is
shared out.

The budget is one bet: weights that total 1 over channels, alternatives and starting times. The
average of e-processes is an e-process under any dependence between them, so nothing else needs
correction; a weight w costs log(1/w) once. It is fixed by the policy before the rollout starts,
never changed while it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controller.core.base.identity_cache import by_identity
from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import Null
from controller.core.model.service import Policy

ALTERNATIVES = ((0.004, 0.3), (0.02, 0.5), (0.1, 0.15), (0.5, 0.05))
"""Errors above what the null allows, as shares, each with its part of the channel's stake. They are
differences and not ratios: in an incident of both versions a bet on two percentage points more then
stakes little by itself. The last is the bet on an outage (`wealth.OUTAGE_STAKED`)."""
COLD_SHARES = (0.0, 0.1, 0.45, 0.45)
"""Their parts of the stake during the warm-up: against its wide margin only large differences can
be shown."""
CLIENT_ALTERNATIVES = ((0.015, 0.5), (0.06, 0.3), (0.4, 0.2))
"""Likewise for client errors."""
OVERDUE_ALTERNATIVES = ((0.3, 0.4), (0.8, 0.6))
"""Likewise for requests that are not answered at all."""
ODDS = ((1.7, 0.5), (5.0, 0.5))
"""Slow responses: this many times the odds that the null allows."""
FAR_ODDS = ((4.0, 1.0),)
"""Likewise beyond stable's p99, where half as slow again is many times as often."""
LIMITS = ((0.006, 0.3), (0.025, 0.4), (0.15, 0.3))
"""The share of responses above the absolute limit of p99, beyond the 1 % that is allowed."""
SHIFTS = ((0.06, 0.6), (0.20, 0.4))
"""The mean rank above what the null allows."""

QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.995, 0.999)
"""Stable's running quantiles at which the distribution of latency is cut into bins."""
SHIFT_MARGIN = 0.005
"""The amount by which the canary's mean rank may exceed stable's, the tolerance added. Small: a margin
costs more than a canary that is slower by a third gains."""
LATENCY, TTFT = "latency", "ttft"
"""The times that are judged: to a response's last byte, and to its first token. Each is a channel
for its whole distribution and one for each quantile in `TAILS_OF`."""
_TAILS = {
    "p50": (QUANTILES.index(0.50), 0.02),
    "p75": (QUANTILES.index(0.75), 0.02),
    "p90": (QUANTILES.index(0.90), 0.015),
    "p95": (QUANTILES.index(0.95), 0.01),
    "p99": (QUANTILES.index(0.99), 0.002),
    "p995": (QUANTILES.index(0.995), 0.002),
    "p999": (QUANTILES.index(0.999), 0.002),
}
TAILS_OF = {time: {f"{time}_{name}": tail for name, tail in _TAILS.items()} for time in (LATENCY, TTFT)}
"""By time: the quantiles that are channels of their own, with the index in `QUANTILES` and the share
by which the canary may exceed it."""
TAILS = {**TAILS_OF[LATENCY], **TAILS_OF[TTFT]}
"""The same of both times."""
SLOW_CHANNELS = frozenset({LATENCY, TTFT, *TAILS})
"""The channels of slowness in comparison with stable."""
ALTERNATIVES_OF = {
    "5xx": ALTERNATIVES,
    "4xx": CLIENT_ALTERNATIVES,
    "overdue": OVERDUE_ALTERNATIVES,
    "errors_max": ALTERNATIVES,
    LATENCY: SHIFTS,
    TTFT: SHIFTS,
    "latency_max": LIMITS,
    **{name: FAR_ODDS if name.endswith(("p995", "p999")) else ODDS for name in TAILS},
}
"""The alternatives of each channel, each with its part of the channel's stake."""

SHARES_OF = {name: tuple([share for _, share in alternatives]) for name, alternatives in ALTERNATIVES_OF.items()}
"""The parts of the stake alone; `COLD_SHARES_OF` during the warm-up."""
COLD_SHARES_OF = {**SHARES_OF, "5xx": COLD_SHARES, "errors_max": COLD_SHARES}

WIDE_MARGIN = 0.05
"""Errors allowed above stable's during the warm-up, and unanswered requests at any time, as shares."""

_WEIGHTS = {
    "5xx": 0.49,
    "4xx": 0.08,
    "overdue": 0.08,
}
_SLOWNESS_WEIGHTS = {
    "": 0.10,
    "_p50": 0.01,
    "_p75": 0.02,
    "_p90": 0.02,
    "_p95": 0.04,
    "_p99": 0.07,
    "_p995": 0.05,
    "_p999": 0.04,
}
"""The weights of a time that is judged, by what its channel's name ends with."""
_LIMIT_WEIGHT = 0.15
"""The weight of an absolute limit, if the policy has one."""

GATE_TARGET = 0.15
"""The alternative of a non-inferiority test: the canary is worse than stable by this part of the
margin."""
RISK = 0.0125
"""A margin times the next weight: what a wrong step may cost in errors, as a share of all
traffic."""


class Margins(NamedTuple):
    """The non-inferiority margins of a step: the canary's excess must be below these shares. The
    last two are of each time that is judged: its p50 and its p99."""

    errors: float
    client_errors: float
    median: float
    tail: float

    def by_metric(self, times: Sequence[str]) -> dict[str, float]:
        """The margins by the metric that they are for."""
        slowness = [(f"{time}_p50", f"{time}_p99") for time in times]
        errors = {"5xx": self.errors, "4xx": self.client_errors}
        return errors | {name: margin for pair in slowness for name, margin in zip(pair, self[2:], strict=True)}


LADDER = (
    Margins(0.10, 0.10, 0.30, 0.15),
    Margins(0.05, 0.05, 0.20, 0.08),
    Margins(0.02, 0.03, 0.12, 0.04),
    Margins(0.01, 0.025, 0.08, 0.025),
    Margins(0.004, 0.02, 0.05, 0.015),
)
"""The wider the exposure that follows, the smaller the margin. For the default error margin of 0.1
%."""
BOUNDS = (
    Margins(0.03, 0.04, 0.16, 0.06),
    Margins(0.007, 0.022, 0.065, 0.02),
    Margins(0.002, 0.01, 0.03, 0.008),
)
"""Margins that no step requires, for a finer bound of what is known of the canary."""
TAIL_SLACK = 1.21
"""In the non-inferiority test of the p99 a response is slow beyond the policy's tolerance and this
factor more (1.1 x 1.21 = 1.33): so few lie there that a proof at the tolerance itself would take
hours. For the p50 it is the tolerance."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that follows from a policy alone."""

    weights: dict[str, float]
    harm: Null
    """For errors, after the warm-up."""
    cold: Null
    ladder: tuple[Mapping[str, float], ...]
    """The margins that some step requires, and those of `BOUNDS`, the widest first, each by gate
    metric."""
    rungs: tuple[int, ...]
    """For each step, the index in `ladder` of its margins."""
    limit: float
    """The e-value at which harm is shown: 1/alpha."""
    gate_limit: float
    """The e-value at which a non-inferiority test is passed: 1/beta."""

    @property
    def gates(self) -> tuple[str, ...]:
        """The metrics of the non-inferiority tests that open a step's gate."""
        return tuple(self.ladder[0])

    def rung_of(self, step: int) -> int:
        """The index in `ladder` of the margins that a step requires."""
        return self.rungs[step if step < len(self.rungs) else -1]


@by_identity
def plan_of(policy: Policy) -> Plan:
    """The plan of a policy, worked out once for each policy object."""
    times = [time for time in (LATENCY, TTFT) if tolerance(policy, time) is not None]
    weights = _WEIGHTS | {f"{time}{end}": weight for time in times for end, weight in _SLOWNESS_WEIGHTS.items()}
    if policy.errors.max is not None:
        weights["errors_max"] = _LIMIT_WEIGHT
    if policy.latency.p99 is not None:
        weights["latency_max"] = _LIMIT_WEIGHT
    total = sum(weights.values())
    errors = policy.errors
    nexts = (*policy.steps[1:], TOTAL_WEIGHT)
    scale = max(1.0, errors.margin / 0.001)
    levels = [_margins(weight / TOTAL_WEIGHT, scale) for weight in nexts]
    ladder = sorted({*levels, *(_scaled(level, scale) for level in BOUNDS)}, key=lambda level: -level.errors)
    return Plan(
        weights={name: weight / total for name, weight in weights.items()},
        harm=Null(errors.ratio, errors.margin),
        cold=Null(errors.ratio, max(errors.margin, WIDE_MARGIN)),
        ladder=tuple(level.by_metric(times) for level in ladder),
        rungs=tuple(ladder.index(level) for level in levels),
        limit=1 / policy.false_rollback,
        gate_limit=1 / (1 - policy.confidence),
    )


def tolerance(policy: Policy, time: str) -> float | None:
    """By how much a time may be longer than stable's, as a share; None if it is not judged."""
    return policy.latency.ttft_tolerance if time == TTFT else policy.latency.tolerance


def _margins(exposure: float, scale: float) -> Margins:
    wanted = RISK / exposure
    fitting = [level for level in LADDER[:-1] if level.errors <= wanted] if exposure < 1 else []
    level = fitting[0] if fitting else LADDER[-1]
    return _scaled(level, scale)


def _scaled(level: Margins, scale: float) -> Margins:
    """The margins for a wider error margin than the default one."""
    return level._replace(errors=min(0.5, level.errors * scale))
