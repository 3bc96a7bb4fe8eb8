"""The reasons of a verdict, worked out from the judge's state. Their sentences are made in
`describe`."""

from functools import partial

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.arrivals import Arrivals
from controller.core.judge.channels import LATENCY, TAILS, TTFT, WIDE_MARGIN, Plan, plan_of, tolerance
from controller.core.judge.describe import (
    AllowedExcess,
    BlindDescription,
    ChannelDescription,
    CommonModeDescription,
    IncidentDescription,
    LateOutageDescription,
    LateReportDescription,
    NoArrivalsDescription,
    NoHarmDescription,
    NoTrafficDescription,
    NotShownDescription,
    SettlingDescription,
    ShareDescription,
    ShownDescription,
    WarmingDescription,
)
from controller.core.judge.latency_block import BINS, MEDIAN, TAIL
from controller.core.judge.margins import error_null, non_inferiority_margin
from controller.core.judge.non_inferiority import bound, requests_needed
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.reason import Finding, Reason, ReasonCode
from controller.core.judge.settling import (
    is_failing_waited_for,
    is_slowness_waited_for,
    seconds_left,
    slowest_metric,
    waiting_channels,
)
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy

_GROUPS = {"5xx": "5xx", "errors_max": "5xx", "4xx": "4xx", "overdue": "overdue"}
"""The group of recent counts by channel; all others are of the time that they begin with."""


def harm_reason(policy: Policy, plan: Plan, state: JudgeState, total: float) -> Reason:
    """The channel that decided, what it saw, and the evidence of all channels together."""
    leading = state.leading_channel(plan, waiting_channels(policy, state))
    return _channel_reason(policy, state, leading, total, plan.limit)


def channel_readings(policy: Policy, state: JudgeState) -> tuple[Reason, ...]:
    """Every channel of harm as it stands: the counts of both versions, and its evidence on its way
    to the limit.

    Evidence 1 says nothing; a channel that reaches its limit alone brings the whole to the
    rollback.
    """
    plan = plan_of(policy)
    return tuple(
        [
            _channel_reason(policy, state, name, state.harm[name].total / weight, plan.limit / weight)
            for name, weight in plan.weights.items()
        ]
    )


def gate_readings(policy: Policy, state: JudgeState, step: int) -> tuple[Reason, ...]:
    """Every metric of the step's gate as it stands."""
    plan = plan_of(policy)
    return tuple([_not_shown(plan, state, metric, step) for metric in plan.gates if is_required(state, metric)])


def is_required(state: JudgeState, metric: str) -> bool:
    """Whether the gates ask for this metric: errors always, the rest wherever it has ever been
    reported."""
    if _group_of(metric) == TTFT:
        return state.times[TTFT].past.total > 0
    return metric == "5xx" or state.latency_reported or (metric == "4xx" and state.client_errors_reported)


def _group_of(channel: str) -> str:
    """The group of recent counts that a channel is shown with."""
    return _GROUPS.get(channel) or (TTFT if channel.startswith(TTFT) else LATENCY)


def not_shown(plan: Plan, state: JudgeState, step: int) -> list[Reason | Finding]:
    """The metrics of the step's gate that have yet to be shown harmless."""
    rung = plan.rung_of(step)
    return [
        Finding(ReasonCode.INSUFFICIENT, partial(_not_shown, plan, state, metric, step))
        for metric in plan.gates
        if state.non_inferiority[metric].evidence[rung] < plan.gate_limit and is_required(state, metric)
    ]


def no_harm(plan: Plan, state: JudgeState, step: int, total: float) -> Reason:
    """What opened the gate; in the bake, that the evidence of harm, `total`, is below its limit."""
    counts = recent_counts(state, "5xx")
    if state.weight > TOTAL_WEIGHT / 2:
        baked = NoHarmDescription(counts, total, plan.limit)
        return Reason.on_counts(ReasonCode.NO_HARM, baked, counts, evidence=total, limit=plan.limit)
    rung = plan.rung_of(step)
    known = _bound(plan, state, "5xx", step)
    required = [metric for metric in plan.gates if is_required(state, metric)]
    evidence = min([state.non_inferiority[metric].evidence[rung] for metric in required])
    margin = non_inferiority_margin(plan, state, "5xx", rung)
    shown = ShownDescription(margin, known, counts, evidence, plan.gate_limit)
    return Reason.on_counts(
        ReasonCode.NO_HARM,
        shown,
        counts,
        evidence=evidence,
        limit=plan.gate_limit,
        margin=margin,
        bound=known,
    )


def warming(policy: Policy, state: JudgeState) -> Reason:
    """How much of the warm-up is left."""
    first, left = state.first_canary_request, None
    if first is not None:
        left = max(0.0, policy.warmup - (state.time - first))
    return Reason(ReasonCode.WARMING, WarmingDescription(left, policy.warmup))


def settling(policy: Policy, state: JudgeState) -> list[Reason | Finding]:
    """The metrics by which the canary has been worse so far and is still waited for."""
    waiting = [metric for metric in ("5xx", "4xx") if is_failing_waited_for(policy, state, metric)]
    if is_slowness_waited_for(policy, state):
        waiting.append(slowest_metric(state))
    return [Finding(ReasonCode.SETTLING, partial(_settling, policy, state, metric)) for metric in waiting]


def _settling(policy: Policy, state: JudgeState, metric: str) -> Reason:
    counts = recent_counts(state, metric)
    description = SettlingDescription(metric, counts, seconds_left(policy, state, metric), policy.patience)
    return Reason.on_counts(ReasonCode.SETTLING, description, counts, channel=metric)


def blind(state: JudgeState) -> Reason:
    """Which version is not reported, and for how long."""
    lost_c = state.last_report_canary <= state.last_report_both
    lost_s = state.last_report_stable <= state.last_report_both
    version = "the canary" if lost_c and not lost_s else "stable" if lost_s and not lost_c else "both versions"
    return Reason(ReasonCode.BLIND, BlindDescription(version, state.time - state.last_report_both))


def no_traffic(state: JudgeState) -> Reason:
    """No requests at all."""
    return Reason(ReasonCode.NO_TRAFFIC, NoTrafficDescription(state.time - state.arrivals.last_request))


def no_arrivals(arrivals: Arrivals, time: float, *, copies: bool) -> Reason:
    """The canary gets no requests, or no copies, although its weight says that it must."""
    seconds = time - arrivals.silent_since
    had = arrivals.canary_had_requests
    silence = NoArrivalsDescription(had, arrivals.weight, arrivals.missed, seconds, copies)
    return Reason(ReasonCode.NO_ARRIVALS, silence, stable_n=arrivals.missed)


def wrong_share(state: JudgeState, share: float) -> Reason:
    """The canary's actual share differs from its weight."""
    return Reason(ReasonCode.SHARE, ShareDescription(share, state.weight, state.shadow), canary=share)


def incident(state: JudgeState) -> Reason:
    """Stable has an incident of its own."""
    server, client = state.server_errors, state.client_errors
    of_servers = server.estimate - server.rate >= client.estimate - client.rate
    baseline, kind = (server, "server") if of_servers else (client, "client")
    description = IncidentDescription(kind, baseline.estimate, baseline.observed_rate)
    return Reason(ReasonCode.INCIDENT, description, stable=baseline.estimate)


def late_report() -> Reason:
    """A version was not reported for a while."""
    return Reason(ReasonCode.LATE_REPORT, LateReportDescription())


def late_outage(counts: PairedCounts) -> Reason:
    """What a late report said of the canary, beside what stable had meanwhile."""
    return Reason.on_counts(ReasonCode.LATE_OUTAGE, LateOutageDescription(counts), counts)


def common_mode(policy: Policy, state: JudgeState) -> Reason | None:
    """Stable breaks the absolute limit of errors too, so it says nothing against the canary. None
    if it does not."""
    limit = policy.errors.max
    if limit is None or state.weight >= TOTAL_WEIGHT:
        return None
    rate = state.server_errors.estimate
    if rate <= limit:
        return None
    return Reason(ReasonCode.COMMON_MODE, CommonModeDescription(limit, rate), stable=rate)


def recent_counts(state: JudgeState, channel: str) -> PairedCounts:
    """A channel's counts of the last minutes."""
    group = _group_of(channel)
    recent = state.recent.get(group)
    if recent is None:
        return PairedCounts()
    counts = recent.counts
    if group not in (LATENCY, TTFT):
        return PairedCounts(*counts)
    i = TAILS[channel][0] if channel in TAILS else (TAIL if channel == "latency_max" else MEDIAN)
    return PairedCounts(
        canary_n=counts[0],
        canary_events=counts[1 + i],
        stable_n=counts[BINS],
        stable_events=counts[BINS + 1 + i],
    )


def _channel_reason(policy: Policy, state: JudgeState, channel: str, evidence: float, limit: float) -> Reason:
    counts = recent_counts(state, channel)
    recent = state.recent.get(_group_of(channel))
    description = ChannelDescription(
        channel=channel,
        counts=counts,
        seconds=max(1.0, state.time - recent.since) if recent else 0.0,
        allowed=_allowed(policy, state, channel),
        evidence=evidence,
        limit=limit,
        broken=state.broken if _group_of(channel) == "5xx" else 0,
    )
    return Reason.on_counts(ReasonCode(channel), description, counts, evidence=evidence, limit=limit, channel=channel)


def _allowed(policy: Policy, state: JudgeState, channel: str) -> AllowedExcess:
    if channel in ("5xx", "4xx"):
        alone = state.weight >= TOTAL_WEIGHT
        return AllowedExcess(*error_null(policy, plan_of(policy), state, channel, alone=alone))
    margins = {
        "errors_max": policy.errors.max or 0,
        "overdue": WIDE_MARGIN,
        "latency_max": (policy.latency.p99 or 0) * 1000,
    }
    allowed = margins.get(channel)
    return AllowedExcess(0.0, tolerance(policy, _group_of(channel)) or 0.0 if allowed is None else allowed)


def _bound(plan: Plan, state: JudgeState, metric: str, step: int) -> float | None:
    """What is known of a metric with the policy's confidence: the canary's excess is below this."""
    found = bound(state.non_inferiority[metric], plan.rung_of(step), plan.gate_limit)
    return None if found is None else non_inferiority_margin(plan, state, metric, found)


def _not_shown(plan: Plan, state: JudgeState, metric: str, step: int) -> Reason:
    """A metric of a gate as it stands."""
    rung, known = plan.rung_of(step), _bound(plan, state, metric, step)
    test, counts = state.non_inferiority[metric], recent_counts(state, metric)
    margin, evidence, limit = non_inferiority_margin(plan, state, metric, rung), test.evidence[rung], plan.gate_limit
    share = min(max(state.weight / TOTAL_WEIGHT, 1e-4), 0.9999)
    rate = _usual_rate(state, metric)
    needed = requests_needed(test.margins[rung], margin, rate, share / (1 - share), limit)
    recent = state.recent.get(_group_of(metric))
    description = NotShownDescription(
        metric=metric,
        margin=margin,
        bound=known,
        counts=counts,
        evidence=evidence,
        limit=limit,
        needed=needed,
        weight=0 if state.shadow else state.weight,
        seconds=state.time - recent.since if recent else 0.0,
    )
    return Reason.on_counts(
        ReasonCode.INSUFFICIENT,
        description,
        counts,
        evidence=evidence,
        limit=limit,
        needed=needed,
        channel=metric,
        margin=margin,
        bound=known,
    )


def _usual_rate(state: JudgeState, metric: str) -> float:
    if metric in ("5xx", "4xx"):
        return (state.server_errors if metric == "5xx" else state.client_errors).rate
    thresholds, is_median = state.times[_group_of(metric)].thresholds, metric.endswith("_p50")
    if thresholds is None:
        return 0.5 if is_median else 0.01
    return thresholds.exceeded[MEDIAN if is_median else TAIL]
