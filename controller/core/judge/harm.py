"""Bets of closed blocks: what a block says of each channel, and of the gates.

Works on the judge's own copy of the evidence.
"""

from collections.abc import Sequence

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import Counts, Null, bernoulli_bet, e_value, e_values, score_e_value
from controller.core.judge.blocks import MOMENT, Block
from controller.core.judge.channels import (
    ALTERNATIVES_OF,
    COLD_SHARES_OF,
    LIMITS,
    MOST_GAIN,
    ODDS,
    SHARES_OF,
    SHIFT_MARGIN,
    SHIFTS,
    STUCK,
    STUCK_MARGIN,
    STUCK_MARGIN_COLD,
    TAILS,
    WARM_UP_MARGIN,
    Plan,
)
from controller.core.judge.grace import FORGIVEN, NO_SPELL
from controller.core.judge.latency_blocks import MEDIAN, TAIL, Thresholds, exceeding, with_errors
from controller.core.judge.non_inferiority import MOST as GATE_MOST
from controller.core.judge.non_inferiority import PACE as GATE_PACE
from controller.core.judge.non_inferiority import PLACED_COLD as GATE_PLACED_COLD
from controller.core.judge.state import Evidence, Recent
from controller.core.model.service import Policy

STALE_START, STALE_PER_MINUTE, STALE_MOST = 3.0, 1.0, 20.0
"""The margin in the bake, in error margins: a baseline of the past is worth less from minute to minute."""
BAKE_CLIENT = 3.0
"""Client errors depend on who asks: in the bake their margin is so many times as wide."""
BAKE_SLOWER, BAKE_SLOWER_PER_HOUR, BAKE_SLOWER_MOST = 1.5, 1.0, 3.0
"""In the bake the canary may be slower by this factor beyond the tolerance: its load is another one, and stable's
latency is of the past, more so with every hour."""
LEAST_MARGIN = 0.001
USUAL_SERVER, USUAL_CLIENT, USUAL_MOST = 0.2, 0.3, 0.02
"""What a gate's margin has beside its level: these parts of stable's baseline, up to two points."""
MOST_OF_PAUSE = 20.0
"""The factor that a block counts for at most in favour of slowness. A server that pauses for a second makes every
answer of that second slow: one event, not fifty. So no rollback for slowness rests on fewer than three blocks."""
MOST_SHIFT = 0.2
"""Where more errors are allowed than this, they would drown the mean rank."""
MOST_ALLOWED = 0.95
"""Where the null allows more than this, there is nothing to bet on."""
MOST_TARGET = 0.97
"""A bet on more than this would have nothing left for the request that goes well."""


def settle_answers(policy: Policy, plan: Plan, after: Evidence, step: int) -> None:
    """The 5xx and their absolute limit."""
    q, _, n_c, x_c, n_s, x_s, _, _ = after.answers
    _compare_errors(policy, plan, after, "5xx", after.answers)
    most = policy.errors.max
    if most is not None and x_s <= most * n_s and after.server.guess <= most:
        # What stable does in the same block says nothing of the canary's part, so it may decide whether to bet.
        allowed = most if after.warm else min(MOST_ALLOWED, most + WARM_UP_MARGIN)
        _bet_on_errors(plan, after, "errors_max", Null(0.0, allowed), after.answers)
    _note(policy, plan, after, "5xx", step, q, (n_c, x_c, n_s, x_s))


def settle_classes(policy: Policy, plan: Plan, after: Evidence, step: int) -> None:
    """The 4xx."""
    q, _, n_c, x_c, n_s, x_s, _, _ = after.classes
    _compare_errors(policy, plan, after, "4xx", after.classes)
    _note(policy, plan, after, "4xx", step, q, (n_c, x_c, n_s, x_s))


def settle_stuck(policy: Policy, plan: Plan, after: Evidence) -> None:
    """Requests that are not answered."""
    q, _, n_c, x_c, n_s, x_s, _, _ = after.stuck
    margin = STUCK_MARGIN if after.warm else STUCK_MARGIN_COLD
    null = Null(0.0, margin) if after.stuck.alone else Null(policy.errors.ratio, margin)
    allowed = null.ratio * q + margin
    r, counts = n_c / n_s if n_s else 0.0, (n_c, x_c, n_s, x_s)
    seconds, alone = after.time - after.stuck.since, _alone(after, after.stuck)
    if not alone:
        _follow_stable(after, "overdue", x_s / n_s - margin, seconds)
    if not alone or _unforgiven(after, "overdue", x_c / n_c - margin, seconds):
        targets = [allowed + (1 - allowed) * more for more, _ in STUCK]
        _bet(plan, after, "overdue", [e_value(bernoulli_bet(null, q, p, r), *counts) for p in targets])
    _recount(after, "overdue", counts)


def settle_latency(policy: Policy, plan: Plan, after: Evidence, step: int, at: Thresholds) -> None:
    """Slowness: the whole distribution, five of its quantiles, the absolute limit.

    Errors count as slow answers here, so the errors that are allowed are allowed here too.
    """
    canary, stable = after.pair.canary, after.pair.stable
    plain_c, plain_s = canary.bins(at.canary), stable.bins(at.stable)
    bins_c = with_errors(canary, plain_c, slowest=True)
    bins_s = with_errors(stable, plain_s, slowest=False)
    over_c, over_s = exceeding(bins_c), exceeding(bins_s)
    n_c, n_s = sum(bins_c), sum(bins_s)
    alone = after.weight >= TOTAL_WEIGHT and after.pair.alone
    errors = _allowed_errors(policy, after, alone)
    if after.warm:
        seconds = after.time - after.pair.since
        for name, (i, margin) in TAILS.items():
            margin += errors
            allowed = at.q[i] + margin
            if not alone:
                _follow_stable(after, name, over_s[i] / n_s - allowed, seconds)
            if not alone or _unforgiven(after, name, over_c[i] / n_c - allowed, seconds):
                _bet_on_tail(plan, after, name, margin, at.q[i], (n_c, over_c[i], n_s, over_s[i]), alone)
        if not alone and errors < MOST_SHIFT:
            _bet_on_shift(plan, after, at, errors, bins_c, bins_s)
        if policy.latency.p99 is not None and at.over <= 0.01 and stable.above(at.limit) <= 0.01 * stable.timed + 1:
            over = max(canary.above(at.limit), min(canary.errors, n_c))
            allowed = min(0.9, 0.01 + errors + after.server.guess)
            null, targets = Null(0.0, allowed), [min(MOST_TARGET, allowed + more) for more, _ in LIMITS]
            gains = [e_value(bernoulli_bet(null, 0.0, p, 0.0), n_c, over, 0.0, 0.0) for p in targets]
            _bet_on_slowness(plan, after, "latency_max", gains)
    _recount(after, "latency", (n_c, *over_c, n_s, *over_s))
    if alone:
        return
    plain = exceeding(plain_s) if stable.errors else over_s
    for metric, i, edge in (("latency_p50", MEDIAN, at.gates[0]), ("latency_p99", TAIL, at.gates[1])):
        counts = (canary.timed, canary.above(edge), stable.timed, plain[i])
        _prove(policy, plan, after, metric, step, at.q[i], counts)


def error_null(policy: Policy, plan: Plan, evidence: Evidence, name: str) -> Null:
    """What is allowed of errors: in comparison with stable, or where stable has no traffic with its past."""
    if evidence.weight < TOTAL_WEIGHT:
        return plan.harm if evidence.warm else plan.cold
    minutes = (evidence.time - evidence.changed) / 60.0
    return Null(0.0, _of_the_past(policy, evidence, name, min(STALE_MOST, STALE_START + STALE_PER_MINUTE * minutes)))


def _of_the_past(policy: Policy, evidence: Evidence, name: str, margins: float) -> float:
    """The share of errors that stable's past allows, with so many margins on top."""
    rate, times = (evidence.server, 1.0) if name == "5xx" else (evidence.client, BAKE_CLIENT)
    return policy.errors.ratio * rate.at_most + times * margins * max(policy.errors.margin, LEAST_MARGIN)


def _allowed_errors(policy: Policy, after: Evidence, alone: bool) -> float:
    """How many more of the canary's answers than of stable's may be errors, and so count as slow."""
    if alone:
        return _of_the_past(policy, after, "5xx", STALE_START)
    return policy.errors.margin + (policy.errors.ratio - 1) * after.server.guess


def slower_than(policy: Policy, evidence: Evidence) -> float:
    """The factor by which the canary may be slower."""
    slower = 1 + policy.latency.tolerance
    if evidence.weight < TOTAL_WEIGHT:
        return slower
    hours = (evidence.time - evidence.changed) / 3600
    return slower * min(BAKE_SLOWER_MOST, BAKE_SLOWER + BAKE_SLOWER_PER_HOUR * hours)


def gate_margin(plan: Plan, evidence: Evidence, metric: str, rung: int) -> float:
    """How much worse than stable the canary is shown not to be: the level's margin, and a little for errors that stable
    has as a rule. Its baseline stands still in an incident, which would else open a loophole."""
    margin = plan.ladder[rung][metric]
    if metric == "5xx":
        return margin + min(USUAL_MOST, USUAL_SERVER * evidence.server.baseline)
    if metric == "4xx":
        return margin + min(USUAL_MOST, USUAL_CLIENT * evidence.client.baseline)
    return margin


def _alone(after: Evidence, block: Block) -> bool:
    """Whether there is nothing to compare with. Proxies that have not followed yet may give stable traffic in the
    bake's first moments."""
    return after.weight >= TOTAL_WEIGHT and block.alone


def _compare_errors(policy: Policy, plan: Plan, after: Evidence, name: str, block: Block) -> None:
    _, since, n_c, x_c, n_s, x_s, _, _ = block
    alone, seconds = _alone(after, block), after.time - since
    null = plan.harm if after.weight >= TOTAL_WEIGHT and not alone else error_null(policy, plan, after, name)
    if not alone and (x_s or after.spells.get(name, NO_SPELL).depth):
        _follow_stable(after, name, x_s / n_s - _of_the_past(policy, after, name, STALE_START), seconds)
    if not alone or _unforgiven(after, name, x_c / n_c - null.margin, seconds):
        _bet_on_errors(plan, after, name, null, block)


def _follow_stable(after: Evidence, name: str, excess: float, seconds: float) -> None:
    """Follow what stable has, as long as it has traffic: the bake forgives as much."""
    if after.weight < TOTAL_WEIGHT:
        spell = after.spells.get(name, NO_SPELL)
        after.spells[name] = spell.after(excess, seconds, FORGIVEN[name]).remembered()


def _unforgiven(after: Evidence, name: str, excess: float, seconds: float) -> bool:
    """Follow the spell of a canary that runs alone; whether the block may be bet on: only beyond what is forgiven by
    the blocks before it."""
    spell, forgiven = after.spells.get(name, NO_SPELL), FORGIVEN[name]
    after.spells[name] = spell.after(excess, seconds, forgiven)
    return spell.depth >= spell.limit(forgiven, after.time - after.changed)


def _bet_on_errors(plan: Plan, after: Evidence, name: str, null: Null, block: Block) -> None:
    q, _, n_c, x_c, n_s, x_s, _, _ = block
    allowed = null.ratio * q + null.margin
    if allowed >= MOST_ALLOWED:
        return
    most = allowed * MOST_GAIN
    targets = [allowed + more if allowed + more < most else most for more, _ in ALTERNATIVES_OF[name]]
    if targets[-1] >= MOST_TARGET:
        targets = [p if p < MOST_TARGET else (MOST_TARGET + allowed) / 2 for p in targets]
    r = n_c / n_s if n_s else 0.0
    _bet(plan, after, name, e_values(null, q, targets, r, (n_c, x_c, n_s, x_s)))


def _bet_on_tail(
    plan: Plan, after: Evidence, name: str, margin: float, q: float, counts: tuple[int, int, int, int], alone: bool
) -> None:
    allowed = min(0.985, q + margin)
    null = Null(*(0.0, allowed) if alone else (1.0, allowed - q))
    r = 0.0 if alone else counts[0] / counts[2]
    odds = allowed / (1 - allowed)
    targets = [odds * times / (1 + odds * times) for times, _ in ODDS]
    _bet_on_slowness(plan, after, name, [e_value(bernoulli_bet(null, q, p, r), *counts) for p in targets])


def _bet_on_shift(
    plan: Plan, after: Evidence, at: Thresholds, errors: float, bins_c: Sequence[int], bins_s: Sequence[int]
) -> None:
    """The mean rank: Wilcoxon's test, in bins. Stable's is 1/2, wherever the bins are cut."""
    null = Null(1.0, SHIFT_MARGIN + errors)
    targets = [0.5 + null.margin + more for more, _ in SHIFTS]
    _bet_on_slowness(plan, after, "latency", [score_e_value(null, 0.5, p, at.scores, bins_c, bins_s) for p in targets])


def _bet_on_slowness(plan: Plan, after: Evidence, name: str, gains: Sequence[float]) -> None:
    _bet(plan, after, name, [gain if gain < MOST_OF_PAUSE else MOST_OF_PAUSE for gain in gains])


def _bet(plan: Plan, after: Evidence, name: str, gains: Sequence[float]) -> None:
    shares = (SHARES_OF if after.warm else COLD_SHARES_OF)[name]
    after.harm[name] = after.harm[name].after(after.left * plan.weights[name], shares, gains)


def _note(policy: Policy, plan: Plan, after: Evidence, name: str, step: int, q: float, counts: Counts) -> None:
    _recount(after, name, counts)
    _prove(policy, plan, after, name, step, q, counts)


def _recount(after: Evidence, name: str, counts: tuple[float, ...]) -> None:
    recent = after.recent.get(name)
    after.recent[name] = recent.after(after.time, counts) if recent else Recent.of(after.time, counts)


def _prove(policy: Policy, plan: Plan, after: Evidence, metric: str, step: int, q: float, counts: Counts) -> None:
    """Bet on the gates that are still ahead, unless stable is in trouble: its margins would mean nothing then.

    To leave out blocks in which stable is seen to be bad can only lower the evidence of no harm.
    """
    if after.weight >= TOTAL_WEIGHT or after.time < after.incident_until or not counts[2]:
        return
    proof = after.proofs[metric].with_block(after.time, q, *counts)
    if after.time - proof.since >= min(GATE_PACE, policy.dwell / 5) - MOMENT:
        left = after.left if after.warm else 1.0 - GATE_PLACED_COLD
        proof = proof.settled(
            after.time,
            left,
            plan.rung_of(step),
            lambda i: gate_margin(plan, after, metric, i),
            GATE_MOST * plan.gate_limit,
        )
    after.proofs[metric] = proof
