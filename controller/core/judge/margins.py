"""How much worse the canary may be: the nulls and margins that follow from the policy and from the
state."""

from controller.core.judge.betting import Null
from controller.core.judge.channels import Plan
from controller.core.judge.settling import is_failing_waited_for
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy

PAST_MARGINS = 5.0
"""Error margins that are added to stable's past where nothing runs beside the canary: a past is no
control."""
LEAST_MARGIN = 0.001
"""The smallest error margin beside stable's past, as a share."""
USUAL_ERRORS, USUAL_MOST = 0.25, 0.02
"""What a non-inferiority margin has beside the step's: this part of stable's baseline, at most the
second, as shares."""


def error_null(policy: Policy, plan: Plan, state: JudgeState, metric: str, *, alone: bool) -> Null:
    """What is allowed of errors (`5xx` or `4xx`): in comparison with stable, or `alone` with stable's
    past."""
    if not alone:
        return plan.harm if state.warm and not is_failing_waited_for(policy, state, metric) else plan.cold
    margin = PAST_MARGINS * max(policy.errors.margin, LEAST_MARGIN)
    return Null(0.0, policy.errors.ratio * state.server_errors.upper_bound + margin)


def allowed_slow_errors(policy: Policy, plan: Plan, state: JudgeState) -> float:
    """How many more of the canary's responses than of stable's may be errors, and so count as slow.
    A share."""
    allowed = error_null(policy, plan, state, "5xx", alone=False)
    return allowed.margin + (policy.errors.ratio - 1) * state.server_errors.estimate


def non_inferiority_margin(plan: Plan, state: JudgeState, metric: str, rung: int) -> float:
    """The margin of a non-inferiority test, as a share: the step's, and a part of the errors that
    stable usually has.

    Stable's baseline stands still in an incident, which would else open a loophole.
    """
    margin = plan.ladder[rung][metric]
    if metric == "5xx":
        return margin + min(USUAL_MOST, USUAL_ERRORS * state.server_errors.rate)
    if metric == "4xx":
        return margin + min(USUAL_MOST, USUAL_ERRORS * state.client_errors.rate)
    return margin
