"""How much worse the canary may be: the nulls and margins that follow from the policy and from the
state."""

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import Null
from controller.core.judge.channels import Plan
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy

STALE_START, STALE_PER_MINUTE, STALE_MOST = 3.0, 1.0, 20.0
"""The margin in the bake, in error margins: at its start, more with each minute, at most. A
baseline of the past is worth less from minute to minute."""
BAKE_CLIENT_ERRORS = 3.0
"""Client errors depend on the clients: in the bake their margin is so many times as wide."""
BAKE_SLOWER, BAKE_SLOWER_PER_HOUR, BAKE_SLOWER_MOST = 1.5, 1.0, 3.0
"""In the bake the canary may be slower by this factor beyond the tolerance: at its start, more with
each hour, at most. Its load is another one, and stable's latency is of the past."""
LEAST_MARGIN = 0.001
"""The smallest error margin in the bake, as a share."""
USUAL_SERVER_ERRORS, USUAL_CLIENT_ERRORS, USUAL_MOST = 0.2, 0.3, 0.02
"""What a non-inferiority margin has beside the step's: these parts of stable's baseline, at most
the third, as shares."""


def error_null(policy: Policy, plan: Plan, state: JudgeState, channel: str) -> Null:
    """What is allowed of `5xx` or `4xx`: in comparison with stable, or in the bake with stable's
    past."""
    if state.weight < TOTAL_WEIGHT:
        return plan.harm if state.warm else plan.cold
    minutes = (state.time - state.weight_changed_at) / 60.0
    margins = min(STALE_MOST, STALE_START + STALE_PER_MINUTE * minutes)
    return Null(0.0, past_error_limit(policy, state, channel, margins))


def past_error_limit(policy: Policy, state: JudgeState, channel: str, margins: float = STALE_START) -> float:
    """The share of errors that stable's past allows, with so many error margins on top."""
    baseline, times = (state.server_errors, 1.0) if channel == "5xx" else (state.client_errors, BAKE_CLIENT_ERRORS)
    return policy.errors.ratio * baseline.upper_bound + times * margins * max(policy.errors.margin, LEAST_MARGIN)


def allowed_slow_errors(policy: Policy, state: JudgeState, *, alone: bool) -> float:
    """How many more of the canary's responses than of stable's may be errors, and so count as slow.
    A share."""
    if alone:
        return past_error_limit(policy, state, "5xx")
    return policy.errors.margin + (policy.errors.ratio - 1) * state.server_errors.estimate


def allowed_slowdown(policy: Policy, state: JudgeState) -> float:
    """The factor by which the canary may be slower."""
    factor = 1 + policy.latency.tolerance
    if state.weight < TOTAL_WEIGHT:
        return factor
    hours = (state.time - state.weight_changed_at) / 3600
    return factor * min(BAKE_SLOWER_MOST, BAKE_SLOWER + BAKE_SLOWER_PER_HOUR * hours)


def non_inferiority_margin(plan: Plan, state: JudgeState, metric: str, rung: int) -> float:
    """The margin of a non-inferiority test, as a share: the step's, and a part of the errors that
    stable usually has.

    Stable's baseline stands still in an incident, which would else open a loophole.
    """
    margin = plan.ladder[rung][metric]
    if metric == "5xx":
        return margin + min(USUAL_MOST, USUAL_SERVER_ERRORS * state.server_errors.rate)
    if metric == "4xx":
        return margin + min(USUAL_MOST, USUAL_CLIENT_ERRORS * state.client_errors.rate)
    return margin
