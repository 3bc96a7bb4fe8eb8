"""Patience: a canary that has been worse ever since it got its traffic may only be cold, and is waited
for first.

A cache fills, a queue drains once the autoscaler has followed, connections fail until they are
warm. What began later is a regression and is judged at once. So the question is whether the canary
has been seen to be good since its traffic began, or rose: a bet against "worse than stable by the
margin" is followed from then on, by metric. Below 1 it says that the canary has been worse so far,
and it is waited for, for the policy's `patience` at the longest. At `SETTLED` it has settled, until
its weight rises again.

Errors are allowed as in the warm-up meanwhile. Evidence of slowness is gathered, and does not count
yet: where the patience ends half of what decides counts if the canary is slow still, and what was
gained is given up once it is not. To bet against a wider null, to wait, and to give up wealth are always allowed.
"""

from collections.abc import Sequence

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.channels import SHARES_OF, SLOW_CHANNELS, Plan
from controller.core.judge.non_inferiority import no_harm_e_value
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy

MARGINS = {"5xx": 0.02, "4xx": 0.03, "p50": 0.05, "p99": 0.02}
"""What is clearly worse, by what a gate metric's name ends with: shares. A good canary is seen to be
good within half a minute at five requests a second."""
ERRORS = ("5xx", "4xx")
"""The metrics that settle once: more traffic makes a canary slow, and seldom makes it fail for a
while. All others are of times that are judged, and settle anew with every rise of the weight."""
SETTLED, WORST = 10.0, 0.02
"""The canary has settled at the first. Wealth falls no lower than the second: a canary that recovers
leaves it with the first good block, and one that is slow still does not."""
GATHERED = 0.5
"""The part of the evidence for a rollback that may be gathered while it is waited for. Beside little of
stable, bets on rare slow responses win fast and lose slowly: what they have won outlasts the cold."""


def seconds_left(policy: Policy, state: JudgeState, metric: str) -> float:
    """The seconds that are left of the patience for this metric."""
    if state.first_canary_request is None:
        return policy.patience
    since = state.first_canary_request + policy.warmup
    if metric not in ERRORS:
        since = max(since, state.weight_changed_at)
    return max(0.0, since + policy.patience - state.time)


def is_failing_waited_for(policy: Policy, state: JudgeState, metric: str) -> bool:
    """Whether the canary has failed more ever since its traffic began (`5xx` or `4xx`), and is waited
    for."""
    return state.settling.get(metric, 1.0) < 1 and seconds_left(policy, state, metric) > 0


def is_cold(policy: Policy, state: JudgeState) -> bool:
    """Whether the canary has been slow ever since its traffic began or rose. Never without patience, or
    without stable beside it."""
    if not policy.patience or state.weight >= TOTAL_WEIGHT:
        return False
    if min(state.settling.values(), default=1.0) >= 1:  # as nearly always, and asked at every tick
        return False
    return any(wealth < 1 for metric, wealth in state.settling.items() if metric not in ERRORS)


def is_slowness_waited_for(policy: Policy, state: JudgeState) -> bool:
    """Whether the canary is cold and waited for.

    One that gets faster when the patience ends is waited for until it has settled, or is slow again.
    """
    if not is_cold(policy, state):
        return False
    slowest = slowest_metric(state)
    return state.settling[slowest] > WORST or seconds_left(policy, state, slowest) > 0


def slowest_metric(state: JudgeState) -> str:
    """The metric by which a cold canary is the worst."""
    return min([metric for metric in state.settling if metric not in ERRORS], key=state.settling.__getitem__)


def waiting_channels(policy: Policy, state: JudgeState) -> Sequence[str]:
    """The channels whose evidence does not count yet."""
    return _slow_channels(state) if is_slowness_waited_for(policy, state) else ()


def harm_evidence(policy: Policy, state: JudgeState) -> float:
    """The evidence of harm that counts: an e-value over all channels."""
    waiting = waiting_channels(policy, state)
    return state.total - sum([state.harm[name].total for name in waiting])


def begin_again(state: JudgeState) -> None:
    """The weight has risen: the canary must be seen to be fast again."""
    for metric, wealth in state.settling.items():
        if metric not in ERRORS:
            state.settling[metric] = min(1.0, wealth)


def follow(state: JudgeState, metric: str, estimate: float, strata: Sequence[tuple[str, PairedCounts]]) -> None:
    """Follow a metric with a closed block's counts by stratum; `estimate` is of stable's share of
    events."""
    wealth = state.settling.get(metric, 1.0)
    if wealth < SETTLED:
        wealth *= no_harm_e_value(estimate, MARGINS[metric.rpartition("_")[2]], strata)
        state.settling[metric] = max(WORST, wealth)


def keep_undecided(plan: Plan, state: JudgeState) -> None:
    """Keep no more evidence of slowness than the part `GATHERED` of what decides: what else is needed
    must come after the patience, so a canary that has recovered is not rolled back by its past."""
    names, most = _slow_channels(state), GATHERED * plan.limit
    total = sum([state.harm[name].total for name in names])
    if total > most:
        for name in names:
            state.harm[name] = state.harm[name].scaled(most / total)


def give_up_slowness(plan: Plan, state: JudgeState) -> None:
    """Give up what the bets on slowness have gained: the canary was cold, and is not any more."""
    for name in _slow_channels(state):
        state.harm[name] = state.harm[name].without_gains(plan.weights[name], SHARES_OF[name])


def _slow_channels(state: JudgeState) -> list[str]:
    """The channels of slowness that are judged, always in one order."""
    return [name for name in state.harm if name in SLOW_CHANNELS]
