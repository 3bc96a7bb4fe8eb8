"""The judge: a policy, the state so far and one window in; the state after it and a verdict out.

It is pure, compares exactly one canary with one stable, and is cheap enough to run at every report.
It rests on:

    betting            the bet: one statistical primitive for every question
    channels           the plan: what is bet on, and how the error budget is shared out
    wealth             when the stakes are placed
    block              traffic between two bets; latency_block, latency_thresholds and overdue_counter likewise
    margins            how much worse the canary may be
    block_bets         the bets of a closed block
    grace_period       what is tolerated in the bake, where nothing runs beside the canary
    non_inferiority    the proof of no harm that opens a step
    arrivals           what no data means
    state              all that is known; stored_state is its stored form
    reasons            the reasons of a verdict; describe makes their sentences
"""

from functools import partial
from math import inf, isfinite, sqrt

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge import reasons
from controller.core.judge.block import MOMENT, PACE, Block, SideCounts
from controller.core.judge.block_bets import (
    close_client_error_block,
    close_error_block,
    close_latency_block,
    close_overdue_block,
)
from controller.core.judge.channels import TAIL_SLACK, plan_of
from controller.core.judge.latency_block import TAIL, LatencyBlock, LatencySide
from controller.core.judge.latency_thresholds import REFRESH, Slowdown
from controller.core.judge.margins import allowed_slowdown
from controller.core.judge.reason import Finding, Reason, ReasonCode
from controller.core.judge.state import Judgement, JudgeState
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.judge.wealth import left_after
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample, Window

BLIND_AFTER = 5.0
"""Seconds without a report on both versions after which time no longer counts as observed."""
BLIND_HARM = 60.0
"""Seconds of blindness after which `on_blind: rollback` rolls back."""
LOST_AFTER = 60.0
"""Seconds of silence after which a version's next report is not paired with what the other did
meanwhile."""
CALM = 5.0
"""Seconds after an incident of stable during which no step is left."""
PATIENCE, PATIENCE_COLD, PATIENCE_UNKNOWN = 2.0, 5.0, 30.0
"""Seconds after which an unanswered request counts as overdue: after the warm-up, in it, and where
nothing is known of stable's latency."""
PATIENCE_TAILS = 4.0
"""Nothing is overdue before so many times stable's p99, or its slowest response where that is all
that is known."""
OVERDUE_ESTIMATE, OVERDUE_PACE = 0.001, 1.5
"""Of unanswered requests: the estimate of stable's rate, and seconds between two bets."""


def judge(policy: Policy, state: JudgeState, window: Window, step: int) -> tuple[JudgeState, Verdict]:
    """One tick: the state after it, and the verdict. `step` is the index of the policy's step whose
    gate is asked for.

    Neither `state` nor `window` is changed.
    """
    after = state.copy()
    judgement = Judgement(policy, plan_of(policy), step, after)
    seconds = _advance_clocks(policy, after, window)
    canary, stable = _comparable(after, state, window, seconds)
    if canary is not None or stable is not None:  # a tick without a report decides nothing: the bets wait for one
        if after.last_report is None:
            after.last_report = after.time
            _open_blocks(after)
        _count(after, canary, stable, after.time - after.last_report)
        after.last_report = after.time
        _close_blocks(judgement, stable or canary)
    return after, _verdict(judgement)


def _advance_clocks(policy: Policy, after: JudgeState, window: Window) -> float:
    """Move the clocks and all that depends on them alone. Returns the seconds since the last
    tick."""
    seconds = max(0.0, window.at - after.window_clock) if after.window_clock is not None else 0.0
    time = after.time + seconds
    canary = window.canary
    after.window_clock, after.time = window.at, time
    if after.first_canary_request is None and canary is not None and (canary.started or canary.answered):
        after.first_canary_request = time
    first = after.first_canary_request
    after.warm = first is not None and time - first >= policy.warmup - MOMENT
    _note_reports(after, window)
    changed = window.weight != after.weight
    since_warm = time - first - policy.warmup if first is not None else 0.0
    placed_now = changed and after.weight > 0
    after.unplaced = left_after(after.unplaced, since_warm, seconds, warm=after.warm, changed=placed_now)
    if changed:
        after.weight, after.weight_changed_at = window.weight, time
        if window.weight >= TOTAL_WEIGHT:
            _open_blocks(after)
            after.grace = {channel: period.at_bake() for channel, period in after.grace.items()}
    return seconds


def _note_reports(after: JudgeState, window: Window) -> None:
    """Note when each version was last reported. At full weight the canary's report is enough for
    both."""
    canary, stable = window.canary is not None, window.stable is not None
    if canary:
        after.last_report_canary = after.time
    if stable:
        after.last_report_stable = after.time
    if canary and (stable or window.weight >= TOTAL_WEIGHT):
        after.last_report_both = after.time


def _comparable(
    after: JudgeState, before: JudgeState, window: Window, seconds: float
) -> tuple[Sample | None, Sample | None]:
    """The canary's and stable's samples, as far as they can be compared.

    After a long silence of one version every block starts again, without that version's first
    report.
    """
    canary, stable = window.canary, window.stable
    latest = after.time - seconds - LOST_AFTER
    lost_c = canary is not None and before.last_report_canary < latest
    lost_s = stable is not None and before.last_report_stable < latest and window.weight < TOTAL_WEIGHT
    arrived_c, arrived_s = _arrived(canary), _arrived(stable)
    after.arrivals = after.arrivals.after(after.time, seconds, window.weight, arrived_c, arrived_s)
    if lost_c or lost_s:
        _open_blocks(after)
    return (None if lost_c else canary), (None if lost_s else stable)


def _arrived(sample: Sample | None) -> int | None:
    """Requests that reached a version; a refused connection is a response to a request that was
    never started."""
    return None if sample is None else max(sample.started, sample.answered)


def _open_blocks(after: JudgeState) -> None:
    """Open new blocks, and drop what is in the present ones."""
    after.error_block = Block(after.server_errors.estimate, after.time)
    after.client_error_block = Block(after.client_errors.estimate, after.time)
    after.overdue_block = Block(OVERDUE_ESTIMATE, after.time)
    after.latency_block, after.thresholds = LatencyBlock(after.time), None


def _count(after: JudgeState, canary: Sample | None, stable: Sample | None, seconds: float) -> None:
    """Add a tick to the open blocks, and stable's side to the baseline of its server errors."""
    patience, time, block = _patience(after), after.time, after.latency_block
    latency_c, latency_s = block.canary, block.stable
    errors_c = client_errors_c = overdue_c = errors_s = client_errors_s = overdue_s = None
    if canary is not None:
        latency_c, errors_c, client_errors_c = _count_side(after, canary, latency_c)
        counter = after.overdue_canary
        after.overdue_canary, overdue_c = counter.after(time, canary.started, errors_c[0], patience)
    if stable is not None:
        latency_s, errors_s, client_errors_s = _count_side(after, stable, latency_s)
        n, failed, _ = errors_s
        after.overdue_stable, overdue_s = after.overdue_stable.after(time, stable.started, n, patience)
        incident = time < after.incident_until
        after.server_errors = after.server_errors.after(n, failed, seconds, incident=incident)
        if after.server_errors.in_incident:
            after.incident_until = time + CALM
    after.latency_block = LatencyBlock(block.since, latency_c, latency_s)
    after.error_block = after.error_block.after(errors_c, errors_s)
    after.client_error_block = after.client_error_block.after(client_errors_c, client_errors_s)
    after.overdue_block = after.overdue_block.after(overdue_c, overdue_s)


def _count_side(after: JudgeState, sample: Sample, latency: LatencySide) -> tuple[LatencySide, SideCounts, SideCounts]:
    """One version's latency with a sample, and its counts of server errors and of client errors.

    Notes in the state which kinds of report there are.
    """
    n, failed = sample.answered, sample.failed
    grown = latency.after(n, failed, sample.latency)
    timed = grown.timed > latency.timed
    # 4xx are reported together with latency; without any latency they come by themselves.
    reported = timed or (after.client_errors_reported and not after.latency_reported)
    after.latency_reported = after.latency_reported or timed
    after.client_errors_reported = after.client_errors_reported or "4xx" in sample.errors
    return grown, (n, failed, True), (n, n - sample.ok - failed, reported)


def _update_client_error_baseline(after: JudgeState) -> None:
    """Add a closed block to the baseline of client errors, which are reported later and less often
    than the others."""
    block, time = after.client_error_block, after.time
    incident = time < after.incident_until
    seconds = time - block.since
    after.client_errors = after.client_errors.after(block.stable_n, block.stable_events, seconds, incident=incident)
    if after.client_errors.in_incident:
        after.incident_until = time + CALM


def _patience(after: JudgeState) -> float:
    """Seconds after which a request is overdue."""
    least = PATIENCE if after.warm else PATIENCE_COLD
    slow = after.thresholds.stable[TAIL] if after.thresholds else after.stable_latency.slowest
    return max(least, PATIENCE_TAILS * slow / 1000) if isfinite(slow) else PATIENCE_UNKNOWN


def _close_blocks(judgement: Judgement, sample: Sample | None) -> None:
    """Close the blocks that can be closed: bet, then open the next one with what is known now."""
    after = judgement.state
    weight, time = after.weight, after.time
    if after.error_block.closes(weight, time, 0.0):
        close_error_block(judgement)
        after.error_block = Block(after.server_errors.estimate, time)
    elif after.error_block.stale(weight):
        after.error_block = Block(after.server_errors.estimate, time)
    if after.client_error_block.closes(weight, time, PACE):
        close_client_error_block(judgement)
        _update_client_error_baseline(after)
        after.client_error_block = Block(after.client_errors.estimate, time)
    elif after.client_error_block.stale(weight):
        after.client_error_block = Block(after.client_errors.estimate, time)
    if after.overdue_block.closes(weight, time, OVERDUE_PACE):
        close_overdue_block(judgement)
        after.overdue_block = Block(OVERDUE_ESTIMATE, time)
    elif after.overdue_block.stale(weight):
        after.overdue_block = Block(OVERDUE_ESTIMATE, time)
    _close_latency_block(judgement, sample)


def _close_latency_block(judgement: Judgement, sample: Sample | None) -> None:
    """Likewise the block of latency, together with the thresholds it is compared by."""
    after = judgement.state
    block = after.latency_block
    closes = block.closes(after.weight, after.time)
    if closes:
        block = after.latency_block = block.merged()
    if closes and after.thresholds is not None:
        close_latency_block(judgement, after.thresholds)
    if closes or block.stale(after.weight) or (after.thresholds is None and block.stable.timed):
        if block.stable.timed:
            after.stable_latency = after.stable_latency.after(block.stable, after.time)
        after.latency_block = LatencyBlock(after.time)
        _renew_thresholds(judgement.policy, after, sample)


def _renew_thresholds(policy: Policy, after: JudgeState, sample: Sample | None) -> None:
    """Move the thresholds along with stable; only where no block is open. The sample gives its
    bucket edges alone."""
    due = after.thresholds is None or after.time - after.thresholds.since >= REFRESH - MOMENT
    if not due or not after.stable_latency.enough:
        return
    limit = policy.latency.p99 * 1000 if policy.latency.p99 is not None else inf
    allowed = Slowdown(allowed_slowdown(policy, after), (1 + policy.latency.tolerance) * TAIL_SLACK, limit)
    edges = sample.edges if sample else ()
    after.thresholds = after.stable_latency.thresholds(edges, allowed, after.server_errors.estimate)


def _verdict(judgement: Judgement) -> Verdict:
    """The verdict on the state as it stands after the tick."""
    after = judgement.state
    is_blind = after.time - after.last_report_both > BLIND_AFTER + MOMENT
    total = after.total
    harm = _harm(judgement, total)
    if harm:
        return Verdict(Outcome.HARM, (harm,), after.warm, is_blind)
    if is_blind:
        return Verdict(Outcome.UNKNOWN, (_blind(after),), after.warm, is_blind)
    if after.arrivals.no_traffic(after.time):
        idle = Finding(ReasonCode.NO_TRAFFIC, partial(reasons.no_traffic, after))
        return Verdict(Outcome.UNKNOWN, (idle,), after.warm, idle=True)
    doubts = _doubts(judgement, total)
    if doubts:
        return Verdict(Outcome.UNKNOWN, tuple(doubts), after.warm)
    shown = Finding(ReasonCode.NO_HARM, partial(reasons.no_harm, judgement.plan, after, judgement.step, total))
    return Verdict(Outcome.PASS, (shown,), after.warm)


def _harm(judgement: Judgement, total: float) -> Finding | None:
    """What calls for a rollback, if anything does."""
    policy, plan, _, after = judgement
    if total >= plan.limit:
        return _shown_harm(judgement, total)
    if after.arrivals.canary_had_requests and after.arrivals.none_arrive(after.time):
        return _no_arrivals(after)
    if policy.on_blind == "rollback" and after.time - after.last_report_both >= BLIND_HARM - MOMENT:
        return _blind(after)
    return None


def _doubts(judgement: Judgement, total: float) -> list[Reason | Finding]:
    """Why there is no proof of no harm; empty if there is."""
    policy, plan, step, after = judgement
    doubts = _doubts_of_traffic(policy, after)
    if not after.warm:
        doubts.append(Finding(ReasonCode.WARMING, partial(reasons.warming, policy, after)))
    if after.weight < TOTAL_WEIGHT:
        doubts.extend(reasons.not_shown(plan, after, step))
    elif excursion := reasons.in_grace(after):
        doubts.append(excursion)
    if total >= sqrt(plan.limit):
        doubts.append(_shown_harm(judgement, total))
    return doubts


def _doubts_of_traffic(policy: Policy, after: JudgeState) -> list[Reason | Finding]:
    """Why the traffic does not allow a comparison now; empty if it does."""
    doubts: list[Reason | Finding] = []
    if not after.arrivals.canary_had_requests and after.arrivals.none_arrive(after.time):  # else it is harm
        doubts.append(_no_arrivals(after))
    if after.time < after.incident_until:
        doubts.append(Finding(ReasonCode.INCIDENT, partial(reasons.incident, after)))
    if shared := reasons.common_mode(policy, after):
        doubts.append(shared)
    share = after.arrivals.share
    if share is not None:
        doubts.append(Finding(ReasonCode.SHARE, partial(reasons.wrong_share, after, share)))
    return doubts


def _shown_harm(judgement: Judgement, total: float) -> Finding:
    policy, plan, _, after = judgement
    code = ReasonCode(after.leading_channel(plan))
    return Finding(code, partial(reasons.harm_reason, policy, plan, after, total))


def _no_arrivals(after: JudgeState) -> Finding:
    return Finding(ReasonCode.NO_ARRIVALS, partial(reasons.no_arrivals, after.arrivals, after.time))


def _blind(after: JudgeState) -> Finding:
    return Finding(ReasonCode.BLIND, partial(reasons.blind, after))
