"""The judge: a policy, the evidence so far and one window in; the evidence after it and a verdict out.

Pure, and cheap enough to be asked at every report. What it rests on:

    evidence   the bet: one statistical primitive for every question
    channels   what is bet on, and how the error budget is shared out
    wealth     when the bets are placed
    harm       what a closed block of traffic says: `blocks`, `rates`, `slowdown`, `hang`
    spells     what is forgiven in the bake, where nothing runs beside the canary
    gates      the proof of no harm that opens a step
    arrivals   what no data means
    dossier    all that is known, and its stored form
    grounds    the reasons, in words
"""

from functools import partial
from math import inf, isfinite, sqrt

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge import reasons as grounds
from controller.core.judge.blocks import MOMENT, PACE, Block, Told
from controller.core.judge.channels import GATE_SLACK, Plan, plan_of
from controller.core.judge.harm import settle_answers, settle_classes, settle_latency, settle_stuck, slower_than
from controller.core.judge.latency_blocks import REFRESH, TAIL, Pair, Side
from controller.core.judge.overdue import InFlight
from controller.core.judge.state import Evidence
from controller.core.judge.verdict import Ground, Outcome, Verdict
from controller.core.judge.wealth import left_after
from controller.core.model.service import Policy
from controller.core.traffic.window import Sample, Window

__all__ = ["Evidence", "judge"]

BLIND_AFTER = 5.0
"""Seconds without a report on both sides after which time no longer counts as observed."""
BLIND_HARM = 60.0
"""Seconds of blindness after which `on_blind: rollback` rolls back."""
LOST_AFTER = 60.0
"""Seconds of silence after which what a side reports next is not paired with what the other did meanwhile."""
CALM = 5.0
"""Seconds after an incident of stable during which the gates stay shut."""
PATIENCE, PATIENCE_COLD, PATIENCE_UNKNOWN = 2.0, 5.0, 30.0
"""Seconds after which an unanswered request counts as overdue: after the warm-up, in it, and where nothing is known
of stable's latency."""
PATIENCE_TAILS = 4.0
"""Nothing is overdue before so many times stable's p99, or its slowest answer where that is all that is known."""
STUCK_GUESS, STUCK_PACE = 0.001, 1.5
"""Of unanswered requests: the guess of stable's rate, and seconds between two bets."""


def judge(policy: Policy, evidence: Evidence, window: Window, step: int) -> tuple[Evidence, Verdict]:
    """One look. `step` is the index of the policy's step whose gate is asked for."""
    plan = plan_of(policy)
    after = evidence.copy()
    seconds = _advance(policy, after, window)
    canary, stable = _paired(after, evidence, window, seconds)
    if canary is not None or stable is not None:  # a look without a report decides nothing: the bets wait for one
        if after.counted is None:
            after.counted = after.time
            _begin_blocks(after)
        _count(after, canary, stable, after.time - after.counted)
        after.counted = after.time
        _settle(policy, plan, after, step, stable or canary)
    return after, _verdict(policy, plan, after, step)


def _advance(policy: Policy, after: Evidence, window: Window) -> float:
    """Move the clocks and what depends on them alone: the seconds since the last tick."""
    seconds = max(0.0, window.at - after.at) if after.at is not None else 0.0
    time = after.time + seconds
    canary, stable = window.canary, window.stable
    after.at, after.time = window.at, time
    if after.first is None and canary is not None and (canary.started or canary.answered):
        after.first = time
    after.warm = after.first is not None and time - after.first >= policy.warmup - MOMENT
    after.heard_c = time if canary is not None else after.heard_c
    after.heard_s = time if stable is not None else after.heard_s
    if canary is not None and (stable is not None or window.weight >= TOTAL_WEIGHT):
        after.heard_both = time
    changed = window.weight != after.weight
    since = time - after.first - policy.warmup if after.first is not None else 0.0
    after.left = left_after(after.left, since, seconds, warm=after.warm, changed=changed and after.weight > 0)
    if changed:
        after.weight, after.changed = window.weight, time
        if window.weight >= TOTAL_WEIGHT:
            _begin_blocks(after)
            after.spells = {name: spell.begun() for name, spell in after.spells.items()}
    return seconds


def _paired(after: Evidence, before: Evidence, window: Window, seconds: float) -> tuple[Sample | None, Sample | None]:
    """The two sides, as far as they can be compared: after a long silence of one of them everything begins anew."""
    canary, stable = window.canary, window.stable
    latest = after.time - seconds - LOST_AFTER
    lost_c = canary is not None and before.heard_c < latest
    lost_s = stable is not None and before.heard_s < latest and window.weight < TOTAL_WEIGHT
    after.arrivals = after.arrivals.after(after.time, seconds, window.weight, _came(canary), _came(stable))
    if lost_c or lost_s:
        _begin_blocks(after)
    return (None if lost_c else canary), (None if lost_s else stable)


def _came(sample: Sample | None) -> int | None:
    """Requests that reached a side; a refused connection is an answer that was never started."""
    return None if sample is None else max(sample.started, sample.answered)


def _begin_blocks(after: Evidence) -> None:
    """Drop what is in the open blocks."""
    after.answers, after.classes = Block(after.server.guess, after.time), Block(after.client.guess, after.time)
    after.stuck = Block(STUCK_GUESS, after.time)
    after.pair, after.thresholds = Pair(after.time), None


def _count(after: Evidence, canary: Sample | None, stable: Sample | None, seconds: float) -> None:
    """Add a tick to the open blocks, and stable's side to what is known of its rates."""
    patience = _patience(after)
    answers_c = classes_c = stuck_c = answers_s = classes_s = stuck_s = None
    side_c, side_s = after.pair.canary, after.pair.stable
    if canary is not None:
        side_c, after.load_c, answers_c, classes_c, stuck_c = _told(after, canary, side_c, after.load_c, patience)
    if stable is not None:
        side_s, after.load_s, answers_s, classes_s, stuck_s = _told(after, stable, side_s, after.load_s, patience)
        n, failed, _ = answers_s
        troubled = after.time < after.incident_until
        after.server = after.server.after(n, failed, seconds, incident=troubled)
        if after.server.troubled:
            after.incident_until = after.time + CALM
    after.pair = Pair(after.pair.since, side_c, side_s)
    after.answers = after.answers.after(answers_c, answers_s)
    after.classes = after.classes.after(classes_c, classes_s)
    after.stuck = after.stuck.after(stuck_c, stuck_s)


def _told(
    after: Evidence, sample: Sample, side: Side, load: InFlight, patience: float
) -> tuple[Side, InFlight, Told, Told, Told]:
    """What one version's sample tells: of its latency, of what it has in flight, and of errors, client errors and
    unanswered requests."""
    n, bad = sample.answered, sample.errors.get("4xx", 0)
    failed = n - sample.ok - bad
    grown = side.after(n, failed, sample.latency)
    timed = grown.timed > side.timed
    heard = timed or (after.classed and not after.timed)
    after.timed, after.classed = after.timed or timed, after.classed or "4xx" in sample.errors
    load, of_age, overdue = load.after(after.time, sample.started, n, patience)
    return grown, load, (n, failed, True), (n, bad, heard), (of_age, overdue, True)


def _learn_of_clients(after: Evidence) -> None:
    """What a closed block says of stable's client errors, which are told later and less often than the others."""
    block, time = after.classes, after.time
    incident = time < after.incident_until
    after.client = after.client.after(block.n_s, block.x_s, time - block.since, incident=incident)
    if after.client.troubled:
        after.incident_until = time + CALM


def _patience(after: Evidence) -> float:
    """Seconds after which a request is overdue."""
    least = PATIENCE if after.warm else PATIENCE_COLD
    slow = after.thresholds.stable[TAIL] if after.thresholds else after.past.slowest
    return max(least, PATIENCE_TAILS * slow / 1000) if isfinite(slow) else PATIENCE_UNKNOWN


def _settle(policy: Policy, plan: Plan, after: Evidence, step: int, sample: Sample | None) -> None:
    """Close the blocks that can be closed: bet, then open the next one with what is known now."""
    weight, time = after.weight, after.time
    if after.answers.closes(weight, time, 0.0):
        settle_answers(policy, plan, after, step)
        after.answers = Block(after.server.guess, time)
    elif after.answers.stale(weight):
        after.answers = Block(after.server.guess, time)
    if after.classes.closes(weight, time, PACE):
        settle_classes(policy, plan, after, step)
        _learn_of_clients(after)
        after.classes = Block(after.client.guess, time)
    elif after.classes.stale(weight):
        after.classes = Block(after.client.guess, time)
    if after.stuck.closes(weight, time, STUCK_PACE):
        settle_stuck(policy, plan, after)
        after.stuck = Block(STUCK_GUESS, time)
    elif after.stuck.stale(weight):
        after.stuck = Block(STUCK_GUESS, time)
    pair = after.pair
    closes = pair.closes(weight, time)
    if closes:
        pair = after.pair = pair.added_up()
    if closes and after.thresholds is not None:
        settle_latency(policy, plan, after, step, after.thresholds)
    if closes or pair.stale(weight) or (after.thresholds is None and pair.stable.timed):
        if pair.stable.timed:
            after.past = after.past.after(pair.stable, time)
        after.pair = Pair(after.time)
        _renew_thresholds(policy, after, sample)


def _renew_thresholds(policy: Policy, after: Evidence, sample: Sample | None) -> None:
    """Move the thresholds along with stable; only where no block is open. The sample is asked for its edges alone."""
    due = after.thresholds is None or after.time - after.thresholds.since >= REFRESH - MOMENT
    if not due or not after.past.enough:
        return
    limit = policy.latency.p99 * 1000 if policy.latency.p99 is not None else inf
    slower, in_tail = slower_than(policy, after), (1 + policy.latency.tolerance) * GATE_SLACK
    after.thresholds = after.past.thresholds(sample.edges if sample else (), slower, in_tail, limit, after.server.guess)


def _verdict(policy: Policy, plan: Plan, after: Evidence, step: int) -> Verdict:
    blind = after.time - after.heard_both > BLIND_AFTER + MOMENT
    total = after.total
    harm = _harm(policy, plan, after, total)
    if harm:
        return Verdict(Outcome.HARM, (harm,), after.warm, blind)
    if blind:
        return Verdict(Outcome.UNKNOWN, (partial(grounds.blind, after),), after.warm, blind)
    if after.arrivals.no_traffic(after.time):
        return Verdict(Outcome.UNKNOWN, (partial(grounds.quiet, after),), after.warm, idle=True)
    grace = grounds.spell(after) if after.weight >= TOTAL_WEIGHT else None
    doubts = _doubts(policy, plan, after, step, total, grace)
    if doubts:
        return Verdict(Outcome.UNKNOWN, tuple(doubts), after.warm, in_grace=grace is not None)
    return Verdict(Outcome.PASS, (partial(grounds.proven, plan, after, step, total),), after.warm)


def _harm(policy: Policy, plan: Plan, after: Evidence, total: float) -> Ground | None:
    """What calls for a rollback, if anything does."""
    if total >= plan.limit:
        return partial(grounds.harm_shown, policy, plan, after, total)
    if after.arrivals.ever and after.arrivals.none_arrive(after.time):
        return partial(grounds.not_arriving, after.arrivals, after.time)
    if policy.on_blind == "rollback" and after.time - after.heard_both >= BLIND_HARM - MOMENT:
        return partial(grounds.blind, after)
    return None


def _doubts(policy: Policy, plan: Plan, after: Evidence, step: int, total: float, grace: Ground | None) -> list[Ground]:
    """Why there is no proof of no harm; empty if there is. `grace`: the grace period that runs in the bake, if any."""
    doubts: list[Ground] = []
    if after.arrivals.none_arrive(after.time):
        doubts.append(partial(grounds.not_arriving, after.arrivals, after.time))
    if after.time < after.incident_until:
        doubts.append(partial(grounds.incident, after))
    if shared := grounds.common_mode(policy, after):
        doubts.append(shared)
    share = after.arrivals.share
    if share is not None:
        doubts.append(partial(grounds.share_off, after, share))
    if not after.warm:
        doubts.append(partial(grounds.warming, policy, after))
    if after.weight < TOTAL_WEIGHT:
        doubts.extend(grounds.unproven(plan, after, step))
    if grace:
        doubts.append(grace)
    if total >= sqrt(plan.limit):
        doubts.append(partial(grounds.harm_shown, policy, plan, after, total))
    return doubts
