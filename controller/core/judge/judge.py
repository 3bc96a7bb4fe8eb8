"""The judge: a policy, the state so far and one window in; the state after it and a verdict out.

It is pure, compares exactly one canary with one stable, and is cheap enough to run at every report.
It rests on:

    betting            the bet: one statistical primitive for every question
    channels           the plan: what is bet on, and how the error budget is shared out
    wealth             when the stakes are placed
    block              traffic between two bets; latency_block, latency_thresholds and overdue_counter likewise
    margins            how much worse the canary may be
    settling           how long a canary that may only be cold is waited for
    block_bets         the bets of a closed block
    design_effect      how far failures come in clusters, by which bets are tempered
    non_inferiority    the proof of no harm that opens a step
    arrivals           what no data means
    shadow             a step in which the canary has copies
    state              all that is known; stored_state is its stored form
    reasons            the reasons of a verdict; describe makes their sentences
"""

from functools import partial
from math import inf, sqrt

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge import reasons
from controller.core.judge.arrivals import BLIND_AFTER, CALM
from controller.core.judge.baseline import Baseline
from controller.core.judge.block import ERROR_PACE, MOMENT, PACE, Block, SideCounts
from controller.core.judge.block_bets import (
    close_client_error_block,
    close_error_block,
    close_latency_block,
    close_overdue_block,
)
from controller.core.judge.channels import LATENCY, TAIL_SLACK, TTFT, plan_of, tolerance
from controller.core.judge.latency_block import TAIL, LatencyBlock, LatencyPair, LatencySide
from controller.core.judge.latency_thresholds import REFRESH, Slowdown, StableLatency, Thresholds
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.reason import Finding, Reason, ReasonCode
from controller.core.judge.settling import begin_again, harm_evidence, waiting_channels
from controller.core.judge.shadow import enter_or_leave_shadow
from controller.core.judge.state import Judgement, JudgeState
from controller.core.judge.timing import Timing
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.judge.wealth import left_after
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample, Window

BLIND_HARM = 60.0
"""Seconds of blindness after which `on_blind: rollback` rolls back."""
LATE_AFTER = 2 * BLIND_AFTER
"""Seconds without a report of one version after which its next report is a late one."""
LATE_OUTAGE, LATE_FEWEST = 0.5, 20
"""A late report with at least this share of failures, of at least so many responses, is an outage: a
block of any length counts for one event, and so much silence with failures in it is more."""
OVERDUE_AFTER, OVERDUE_TAILS = 2.0, 4.0
"""A request is overdue after so many seconds, and not before so many times stable's p99."""
OVERDUE_ESTIMATE = Baseline().rate
"""The estimate of the share of stable's requests that are not answered."""


def judge(policy: Policy, state: JudgeState, window: Window, step: int) -> tuple[JudgeState, Verdict]:
    """One tick: the state after it, and the verdict. `step` is the index of the policy's step whose
    gate is asked for.

    Neither `state` nor `window` is changed. A window of weight 0 by a policy with a shadow step is one
    of copies.
    """
    after = state.copy()
    window = enter_or_leave_shadow(policy, after, window)
    judgement = Judgement(policy, plan_of(policy), step, after)
    seconds = _advance_clocks(policy, after, window)
    canary, stable = window.canary, window.stable
    after.arrivals = after.arrivals.after(after.time, seconds, window.weight, _arrived(canary), _arrived(stable))
    if after.shadow:
        after.arrivals = after.arrivals._replace(canary_had_requests=False)
    _note_late_report(after, state, window, seconds)
    if canary is not None or stable is not None:  # a tick without a report decides nothing: the bets wait for one
        if after.last_report is None:
            after.last_report = after.time
            _open_blocks(after)
        _count(after, window, after.time - after.last_report)
        after.last_report = after.time
        # Unless both were reported, one side would be compared with a longer time of the other.
        complete = all(group.canary is not None and group.stable is not None for group in window.groups)
        if window.weight >= TOTAL_WEIGHT or complete:
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
    bake_begins = after.weight <= TOTAL_WEIGHT / 2 < window.weight
    after.unplaced = left_after(after.unplaced, since_warm, seconds, warm=after.warm, bake_begins=bake_begins)
    if changed:
        if window.weight > after.weight:
            begin_again(after)
            for name, timing in after.times.items():  # what is in its block is of the weight before
                after.times[name] = timing._replace(block=LatencyBlock(time))
        after.weight, after.weight_changed_at = window.weight, time
        if window.weight >= TOTAL_WEIGHT:
            _open_blocks(after)
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


def _note_late_report(after: JudgeState, before: JudgeState, window: Window, seconds: float) -> None:
    """Note a report that comes after a long silence of its version: no step is left on it, and an
    outage in it is harm.

    The blocks wait for such a report and are closed with it. But a block counts for one event at
    most, and an outage that nobody reported for so long is more.
    """
    if before.window_clock is None or before.first_canary_request is None or window.weight >= TOTAL_WEIGHT:
        return
    latest = after.time - seconds - LATE_AFTER
    canary, stable = window.canary, window.stable
    if canary is not None and canary.answered and before.last_report_canary < latest:
        after.late_until = after.time + CALM
        waiting = after.error_block.counts
        stable_n = waiting.stable_n + (stable.answered if stable else 0)
        stable_failed = waiting.stable_events + (stable.failed if stable else 0)
        seen = PairedCounts(canary.answered, canary.failed, stable_n, stable_failed)
        is_outage = canary.answered >= LATE_FEWEST and canary.failed >= LATE_OUTAGE * canary.answered
        if is_outage and stable_failed < LATE_OUTAGE / 2 * stable_n:
            after.late_outage = seen
    if stable is not None and stable.answered and before.last_report_stable < latest:
        after.late_until = after.time + CALM


def _arrived(sample: Sample | None) -> int | None:
    """Requests that reached a version; a refused connection is a response to a request that was
    never started."""
    return None if sample is None else max(sample.started, sample.answered)


def _open_blocks(after: JudgeState) -> None:
    """Open new blocks, and drop what is in the present ones."""
    after.error_block = Block(after.server_errors.estimate, after.time)
    after.client_error_block = Block(after.client_errors.estimate, after.time)
    after.overdue_block = Block(OVERDUE_ESTIMATE, after.time)
    after.times = {name: timing.reopened(after.time) for name, timing in after.times.items()}


def _count(after: JudgeState, window: Window, seconds: float) -> None:
    """Add a tick to the open blocks, and stable's side to the baseline of its server errors."""
    overdue_after, time = _overdue_after(after), after.time
    pairs = dict(after.times[LATENCY].block.strata)
    errors: list[tuple[str, SideCounts | None, SideCounts | None]] = []
    client_errors: list[tuple[str, SideCounts | None, SideCounts | None]] = []
    for name, stable, canary in [(group.name, group.stable, group.canary) for group in window.groups]:
        latency_c, latency_s = pairs.get(name, LatencyPair())
        latency_c, errors_c, client_errors_c = _count_side(after, canary, latency_c, of_canary=True)
        latency_s, errors_s, client_errors_s = _count_side(after, stable, latency_s, of_canary=False)
        pairs[name] = LatencyPair(latency_c, latency_s)
        errors.append((name, errors_c, errors_s))
        client_errors.append((name, client_errors_c, client_errors_s))
    overdue_c = overdue_s = None
    if window.canary is not None:
        after.broken += window.canary.errors.get("broken", 0)
        after.overdue_canary, overdue_c = after.overdue_canary.after(time, window.canary, overdue_after)
    if window.stable is not None:
        after.overdue_stable, overdue_s = after.overdue_stable.after(time, window.stable, overdue_after)
        n, failed = sum([s[0] for _, _, s in errors if s]), sum([s[1] for _, _, s in errors if s])
        incident = time < after.incident_until
        after.server_errors = after.server_errors.after(n, failed, seconds, incident=incident)
        if after.server_errors.in_incident:
            after.incident_until = time + CALM
    after.times[LATENCY] = after.times[LATENCY].with_block(tuple(pairs.items()))
    if TTFT in after.times:
        after.times[TTFT] = after.times[TTFT].after_first_tokens(window)
    after.error_block = after.error_block.after(errors)
    after.client_error_block = after.client_error_block.after(client_errors)
    after.overdue_block = after.overdue_block.after([("", overdue_c, overdue_s)])


def _count_side(
    after: JudgeState, sample: Sample | None, latency: LatencySide, *, of_canary: bool
) -> tuple[LatencySide, SideCounts | None, SideCounts | None]:
    """One version's latency with a sample, and its counts of server errors and of client errors.

    Notes in the state which kinds of report there are. While requests of the weight before are in
    flight, errors are held against the requests that were started: fast failures are of the new
    weight, slow good responses of the old one, so the share of errors among the responses of a
    canary whose weight has risen would be too high.
    """
    if sample is None:
        return latency, None, None
    n, failed, client_errors = sample.answered, sample.failed, sample.client_errors
    grown = latency.after(n, failed, sample.latency)
    timed = grown.timed > latency.timed
    # 4xx are reported together with latency; without any latency they come by themselves.
    reported = timed or (after.client_errors_reported and not after.latency_reported)
    after.latency_reported = after.latency_reported or timed
    after.client_errors_reported = after.client_errors_reported or "4xx" in sample.errors
    if after.turns_over():
        n = max(sample.started, n) if of_canary else max(min(sample.started, n), failed + client_errors)
    return grown, (n, failed, True), (n, client_errors, reported)


def _update_client_error_baseline(after: JudgeState) -> None:
    """Add a closed block to the baseline of client errors, which are reported later and less often
    than the others."""
    block, time = after.client_error_block, after.time
    incident = time < after.incident_until
    seconds, counts = time - block.since, block.counts
    after.client_errors = after.client_errors.after(counts.stable_n, counts.stable_events, seconds, incident=incident)
    if after.client_errors.in_incident:
        after.incident_until = time + CALM


def _overdue_after(after: JudgeState) -> float:
    """Seconds after which a request is overdue; infinite in the warm-up, and where stable's own
    responses do not say how long one takes."""
    thresholds = after.times[LATENCY].thresholds
    if not after.warm or thresholds is None:
        return inf
    return max(OVERDUE_AFTER, OVERDUE_TAILS * thresholds.stable[TAIL] / 1000)


def _close_blocks(judgement: Judgement, sample: Sample | None) -> None:
    """Close the blocks that can be closed: bet, then open the next one with what is known now."""
    after = judgement.state
    weight, time = after.weight, after.time
    if after.error_block.closes(weight, time, ERROR_PACE):
        close_error_block(judgement)
        after.error_block = after.error_block.reopened(weight, after.server_errors.estimate, time)
    elif after.error_block.stale(weight):
        after.error_block = Block(after.server_errors.estimate, time)
    if after.client_error_block.closes(weight, time, PACE):
        close_client_error_block(judgement)
        _update_client_error_baseline(after)
        after.client_error_block = after.client_error_block.reopened(weight, after.client_errors.estimate, time)
    elif after.client_error_block.stale(weight):
        after.client_error_block = Block(after.client_errors.estimate, time)
    if after.overdue_block.closes(weight, time, ERROR_PACE):
        close_overdue_block(judgement)
        after.overdue_block = Block(OVERDUE_ESTIMATE, time)
    elif after.overdue_block.stale(weight):
        after.overdue_block = Block(OVERDUE_ESTIMATE, time)
    for name in after.times:
        _close_latency_block(judgement, name, sample)


def _close_latency_block(judgement: Judgement, name: str, sample: Sample | None) -> None:
    """Likewise the block of a time, together with the thresholds it is compared by. The sample gives
    its bucket edges alone."""
    after = judgement.state
    block, past, thresholds, initial = after.times[name]
    closes = block.closes(after.weight, after.time)
    if closes:
        block = block.merged()
        after.times[name] = Timing(block, past, thresholds, initial)
    if closes and thresholds is not None:
        close_latency_block(judgement, name, thresholds)
    if not closes and not block.stale(after.weight) and (thresholds is not None or not block.stable.timed):
        return
    if block.stable.timed:
        past = past.after(block.stable, after.time)
        if initial is None and after.warm and past.enough:
            initial = _thresholds(judgement, name, past, sample)
    # Thresholds move along with stable, and only where no block is open.
    due = thresholds is None or after.time - thresholds.since >= REFRESH - MOMENT
    if due and past.enough:
        thresholds = _thresholds(judgement, name, past, sample)
    after.times[name] = Timing(LatencyBlock(after.time), past, thresholds, initial)


def _thresholds(judgement: Judgement, name: str, past: StableLatency, sample: Sample | None) -> Thresholds:
    """Where a time is cut by what is known of stable now. Errors count as slow to the last byte, and
    not to the first token."""
    policy, after = judgement.policy, judgement.state
    slower, limit, errors = 1 + (tolerance(policy, name) or 0.0), inf, 0.0
    if name == LATENCY:
        limit, errors = (policy.latency.p99 or inf) * 1000, after.server_errors.estimate
    allowed = Slowdown(slower, slower * TAIL_SLACK, limit)
    return past.thresholds(sample.edges if sample else (), allowed, errors)


def _verdict(judgement: Judgement) -> Verdict:
    """The verdict on the state as it stands after the tick."""
    after = judgement.state
    is_blind = after.time - after.last_report_both > BLIND_AFTER + MOMENT
    total = harm_evidence(judgement.policy, after)
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
    if after.late_outage is not None:
        return Finding(ReasonCode.LATE_OUTAGE, partial(reasons.late_outage, after.late_outage))
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
    else:
        doubts.extend(reasons.settling(policy, after))
    if after.shadow or after.weight <= max(policy.steps):  # above the last step there is no gate
        doubts.extend(reasons.not_shown(plan, after, step))
    if total >= sqrt(plan.limit):
        doubts.append(_shown_harm(judgement, total))
    return doubts


def _doubts_of_traffic(policy: Policy, after: JudgeState) -> list[Reason | Finding]:
    """Why the traffic does not allow a comparison now; empty if it does."""
    doubts: list[Reason | Finding] = []
    if not after.arrivals.canary_had_requests and after.arrivals.none_arrive(after.time):  # else it is harm
        doubts.append(_no_arrivals(after))
    if after.time < after.late_until:
        doubts.append(Finding(ReasonCode.LATE_REPORT, reasons.late_report))
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
    code = ReasonCode(after.leading_channel(plan, waiting_channels(policy, after)))
    return Finding(code, partial(reasons.harm_reason, policy, plan, after, total))


def _no_arrivals(after: JudgeState) -> Finding:
    silence = partial(reasons.no_arrivals, after.arrivals, after.time, copies=after.shadow)
    return Finding(ReasonCode.NO_ARRIVALS, silence)


def _blind(after: JudgeState) -> Finding:
    return Finding(ReasonCode.BLIND, partial(reasons.blind, after))
