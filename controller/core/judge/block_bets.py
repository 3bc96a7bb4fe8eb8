"""The bets of closed blocks: what a block says on each channel, and for the non-inferiority tests.

Every function changes the judgement's own copy of the state.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import (
    HIGHEST,
    Null,
    bernoulli_bets,
    e_values,
    one_sample_score_e_value,
    payoffs,
    score_e_value,
)
from controller.core.judge.block import ERROR_PACE, MOMENT, PACE, Block
from controller.core.judge.channels import (
    ALTERNATIVES_OF,
    COLD_SHARES_OF,
    LATENCY,
    LIMITS,
    OVERDUE_ALTERNATIVES,
    SHARES_OF,
    SHIFT_MARGIN,
    SHIFTS,
    TAILS_OF,
    WIDE_MARGIN,
)
from controller.core.judge.design_effect import DesignEffect
from controller.core.judge.latency_block import (
    MEDIAN,
    TAIL,
    LatencyBlock,
    LatencyPair,
    LatencySide,
    exceeding,
    with_errors,
)
from controller.core.judge.latency_thresholds import Thresholds
from controller.core.judge.margins import allowed_slow_errors, error_null, non_inferiority_margin
from controller.core.judge.non_inferiority import MOST as MOST_PROOF
from controller.core.judge.non_inferiority import PLACED_COLD as PROOF_PLACED_COLD
from controller.core.judge.non_inferiority import PROOF_PACE
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.recent_counts import RecentCounts
from controller.core.judge.settling import follow, give_up_slowness, is_cold, is_slowness_waited_for, keep_undecided
from controller.core.judge.state import Judgement, JudgeState
from controller.core.judge.wealth import OUTAGE_STAKED

OUTAGE_CHANNELS = frozenset({"5xx", "errors_max", "overdue"})
"""The channels whose last alternative is an outage or a hang."""
STEADY = 0.95
"""Stable has become faster if a quantile of it has fallen below this part of what it was."""
MOST_SHIFT = 0.2
"""Where more errors than this share are allowed, they would drown the mean rank."""


def close_error_block(judgement: Judgement) -> None:
    """Bet on server errors (5xx and broken responses) and on their absolute limit."""
    policy, plan, _, state = judgement
    block, total = state.error_block, state.error_block.counts
    strata = block.comparable(state.weight)
    alone = _runs_alone(state, block)
    null = error_null(policy, plan, state, "5xx", alone=alone)
    _bet_on_errors(judgement, "5xx", null, block.estimate, strata)
    limit = policy.errors.max
    if limit is not None and total.stable_events <= limit * total.stable_n and state.server_errors.estimate <= limit:
        # What stable does in the same block says nothing of the canary's part, so it may decide whether to bet.
        allowed = limit if state.warm else min(HIGHEST, limit + WIDE_MARGIN)
        _bet_on_errors(judgement, "errors_max", Null(0.0, allowed), block.estimate, [("", total)])
    _count_recent(state, "5xx", total)
    _test_non_inferiority(judgement, "5xx", block.estimate, strata)
    seconds = state.time - block.since
    state.server_error_effect = _updated(state, state.server_error_effect, total, seconds, state.server_errors.rate)


def close_client_error_block(judgement: Judgement) -> None:
    """Bet on client errors (4xx). They depend on the clients: not without stable beside."""
    policy, plan, _, state = judgement
    block, total = state.client_error_block, state.client_error_block.counts
    strata = block.comparable(state.weight)
    if not _runs_alone(state, block):
        null = error_null(policy, plan, state, "4xx", alone=False)
        _bet_on_errors(judgement, "4xx", null, block.estimate, strata)
    _count_recent(state, "4xx", total)
    _test_non_inferiority(judgement, "4xx", block.estimate, strata)
    seconds = state.time - block.since
    state.client_error_effect = _updated(state, state.client_error_effect, total, seconds, state.client_errors.rate)


def close_overdue_block(judgement: Judgement) -> None:
    """Bet on requests that are not answered: after the warm-up, and beside stable alone."""
    policy, _, _, state = judgement
    block, counts = state.overdue_block, state.overdue_block.counts
    judged = state.warm and not is_slowness_waited_for(policy, state)
    if judged and counts.stable_n and not _runs_alone(state, block):
        null = Null(policy.errors.ratio, WIDE_MARGIN)
        allowed = null.ratio * block.estimate + WIDE_MARGIN
        r = counts.canary_n / counts.stable_n
        targets = [allowed + (1 - allowed) * more for more, _ in OVERDUE_ALTERNATIVES]
        gains = payoffs(bernoulli_bets(null, block.estimate, targets, r), counts)
        _bet(judgement, "overdue", gains)
    _count_recent(state, "overdue", counts)


class _Cuts(NamedTuple):
    """Both versions' latency in one stratum, cut at the thresholds: responses between the quantiles
    with the errors among the slow ones, and how many exceed each quantile; stable's also without
    its errors (`timed_over`)."""

    name: str
    pair: LatencyPair
    canary_bins: list[int]
    stable_bins: list[int]
    canary_over: list[int]
    stable_over: list[int]
    timed_over: list[int]


class _Closed(NamedTuple):
    """A closed block of one time: which (`latency` or `ttft`), where it is cut now and was cut when
    the warm-up ended, the errors that are allowed among its slow responses, and the strata."""

    time: str
    block: LatencyBlock
    thresholds: Thresholds
    initial: Thresholds | None
    errors: float
    cuts: Sequence[_Cuts]

    def before(self, i: int) -> Thresholds | None:
        """The thresholds of when the warm-up ended, if stable has become faster since by this
        quantile: the canary is compared with what stable was too."""
        initial = self.initial
        return initial if initial is not None and self.thresholds.stable[i] < STEADY * initial.stable[i] else None


def close_latency_block(judgement: Judgement, time: str, thresholds: Thresholds) -> None:
    """Bet on slowness: the whole distribution, seven of its quantiles, the absolute limit.

    Errors count as slow to the last byte, so the errors that are allowed are allowed here too.
    """
    state = judgement.state
    block, initial = state.times[time].block, state.times[time].initial
    errors = allowed_slow_errors(judgement.policy, judgement.plan, state) if time == LATENCY else 0.0
    closed = _Closed(time, block, thresholds, initial, errors, _cut(block, thresholds, state.weight))
    is_judged, cuts = time in state.harm, closed.cuts
    alone = state.weight >= TOTAL_WEIGHT and block.alone
    was_cold = is_cold(judgement.policy, state)
    if state.warm:
        if is_judged and not alone:
            _bet_on_tails(judgement, closed)
        if is_judged and not alone and errors < MOST_SHIFT:
            _bet_on_shift(judgement, closed)
        if time == LATENCY:
            _bet_on_latency_limit(judgement, closed)
    _count_recent(state, time, _recent_latency(cuts))
    if is_judged and not alone:
        for metric, i in ((f"{time}_p50", MEDIAN), (f"{time}_p99", TAIL)):
            counts = [(cut.name, _proof_counts(cut, closed, i)) for cut in cuts]
            _test_non_inferiority(judgement, metric, (closed.before(i) or thresholds).exceeded[i], counts)
    if is_slowness_waited_for(judgement.policy, state):
        keep_undecided(judgement.plan, state)
    elif was_cold and not is_cold(judgement.policy, state):
        give_up_slowness(judgement.plan, state)


def _cut(block: LatencyBlock, thresholds: Thresholds, weight: int) -> list[_Cuts]:
    cuts = []
    for name, pair in block.comparable(weight):
        bins_c = with_errors(pair.canary, pair.canary.bins(thresholds.canary), slowest=True)
        timed_s = pair.stable.bins(thresholds.stable)
        bins_s = with_errors(pair.stable, timed_s, slowest=False) if pair.stable.errors else timed_s
        timed_over = exceeding(timed_s)
        over_s = exceeding(bins_s) if pair.stable.errors else timed_over
        cuts.append(_Cuts(name, pair, bins_c, bins_s, exceeding(bins_c), over_s, timed_over))
    return cuts


def _recent_latency(cuts: Sequence[_Cuts]) -> tuple[float, ...]:
    """The counts of all strata together that are shown to people."""
    rows = [(sum(c.canary_bins), *c.canary_over, sum(c.stable_bins), *c.stable_over) for c in cuts]
    return rows[0] if len(rows) == 1 else tuple(map(sum, zip(*rows, strict=True)))


def _proof_counts(cut: _Cuts, closed: _Closed, i: int) -> PairedCounts:
    """Timed responses above a quantile: the histogram is taken as it is, errors and all.

    Harm is being slower than stable is and than stable was, so to be no slower than one of them is
    no harm: of a stable that has become faster, what it was is enough. It is known by its share
    alone, and takes the place of what its responses would have had; that they did not vary around
    it only lowers the e-value (Jensen's inequality: its logarithm is concave in the share).
    """
    canary, stable = cut.pair
    before = closed.before(i)
    thresholds = before or closed.thresholds
    edge = thresholds.median_proof if i == MEDIAN else thresholds.tail_proof
    over_s = before.exceeded[i] * stable.timed if before else cut.timed_over[i]
    return PairedCounts(canary.timed, canary.above(edge), stable.timed, over_s)


def _runs_alone(state: JudgeState, block: Block) -> bool:
    """Whether there is nothing to compare with.

    In the bake's first moments, proxies that do not serve it yet may still give stable traffic.
    """
    return state.weight >= TOTAL_WEIGHT and block.alone


def _updated(
    state: JudgeState, effect: DesignEffect, counts: PairedCounts, seconds: float, rate: float
) -> DesignEffect:
    """The design effect with a closed block's counts, `seconds` long; `rate` is stable's baseline."""
    if state.time < state.incident_until or not counts.stable_n:
        return effect.interrupted()
    return effect.after(counts.stable_n, counts.stable_events, seconds, rate)


def _bet_on_errors(
    judgement: Judgement, channel: str, null: Null, estimate: float, strata: Sequence[tuple[str, PairedCounts]]
) -> None:
    """Bet on more errors than the null allows: the e-values of the strata are multiplied."""
    state, allowed = judgement.state, null.ratio * estimate + null.margin
    if allowed >= HIGHEST:
        return
    targets = [allowed + more for more, _ in ALTERNATIVES_OF[channel]]
    if targets[-1] >= HIGHEST:
        targets = [p if p < HIGHEST else (HIGHEST + allowed) / 2 for p in targets]
    effect = state.client_error_effect if channel == "4xx" else state.server_error_effect
    product: list[float] = []
    for _, counts in strata:
        r = counts.canary_n / counts.stable_n if counts.stable_n else 0.0
        gains = e_values(null, estimate, targets, r, counts)
        phi = effect.of(counts.canary_n, counts.stable_n)
        product = _times(product, gains if phi == 1 else [gain ** (1 / phi) for gain in gains])
    _bet(judgement, channel, product)


def _times(product: list[float], gains: list[float]) -> list[float]:
    """E-values multiplied one by one; an empty product is one."""
    return [before * gain for before, gain in zip(product, gains, strict=True)] if product else gains


def _bet_on_tails(judgement: Judgement, closed: _Closed) -> None:
    """Bet that the canary exceeds a quantile of stable's too often, of stable as it is now and as it
    was when the warm-up ended.

    The smaller of two e-values is an e-value for "no slower than one of them". So a stable that gets
    faster, as it does when the canary takes its load, is no harm of the canary's. Where stable is
    no faster than it was, the first of the two is enough.
    """
    thresholds = closed.thresholds
    for name, (i, share) in TAILS_OF[closed.time].items():
        margin = share + closed.errors
        product: list[float] = []
        for cut in closed.cuts:
            n_c = sum(cut.canary_bins)
            counts = PairedCounts(n_c, cut.canary_over[i], sum(cut.stable_bins), cut.stable_over[i])
            gains = _tail_e_values(name, thresholds.exceeded[i], margin, counts)
            if initial := closed.before(i):
                alone = PairedCounts(n_c, exceeding(_initial_bins(cut.pair.canary, initial))[i])
                gains = list(map(min, gains, _tail_e_values(name, initial.exceeded[i], margin, alone)))
            product = _times(product, gains)
        _bet_on_slowness(judgement, closed.block, name, product)


def _initial_bins(canary: LatencySide, initial: Thresholds) -> list[int]:
    return with_errors(canary, canary.bins(initial.canary), slowest=True)


def _tail_e_values(channel: str, exceeded: float, margin: float, counts: PairedCounts) -> list[float]:
    """Against "the canary exceeds it by no more than the margin above stable", which has exceeded it
    by the share `exceeded`; without stable's counts that share alone is compared with."""
    allowed = min(0.985, exceeded + margin)
    null = Null(1.0, allowed - exceeded) if counts.stable_n else Null(0.0, allowed)
    r = counts.canary_n / counts.stable_n if counts.stable_n else 0.0
    odds = allowed / (1 - allowed)
    targets = [odds * times / (1 + odds * times) for times, _ in ALTERNATIVES_OF[channel]]
    return payoffs(bernoulli_bets(null, exceeded, targets, r), counts)


def _bet_on_shift(judgement: Judgement, closed: _Closed) -> None:
    """Bet on the mean rank: Wilcoxon's test, in bins. Stable's is 1/2, wherever the bins are cut.
    Likewise among stable's responses when the warm-up ended, as in `_bet_on_tails`."""
    null, thresholds = Null(1.0, SHIFT_MARGIN + closed.errors), closed.thresholds
    targets = [0.5 + null.margin + more for more, _ in SHIFTS]
    product: list[float] = []
    for cut in closed.cuts:
        gains = [score_e_value(null, 0.5, p, thresholds.scores, cut.canary_bins, cut.stable_bins) for p in targets]
        if initial := closed.before(MEDIAN):
            bins = _initial_bins(cut.pair.canary, initial)
            then = [one_sample_score_e_value(0.5 + null.margin, p, initial.scores, bins) for p in targets]
            gains = list(map(min, gains, then))
        product = _times(product, gains)
    _bet_on_slowness(judgement, closed.block, closed.time, product)


def _bet_on_latency_limit(judgement: Judgement, closed: _Closed) -> None:
    """Bet that the canary breaks the policy's limit of p99; not where stable itself does."""
    state, thresholds, limit = judgement.state, closed.thresholds, closed.thresholds.limit
    canary, stable = closed.block.canary, closed.block.stable
    if judgement.policy.latency.p99 is None or thresholds.first_over_limit > 0.01:
        return
    if stable.above(limit) > 0.01 * stable.timed + 1:
        return
    n_c = sum(with_errors(canary, canary.bins(thresholds.canary), slowest=True))
    over = max(canary.above(limit), min(canary.errors, n_c))
    allowed = min(0.9, 0.01 + closed.errors + state.server_errors.estimate)
    null, targets = Null(0.0, allowed), [min(HIGHEST, allowed + more) for more, _ in LIMITS]
    counts = PairedCounts(n_c, over)
    gains = payoffs(bernoulli_bets(null, 0.0, targets, 0.0), counts)
    _bet_on_slowness(judgement, closed.block, "latency_max", gains)


def _bet_on_slowness(judgement: Judgement, block: LatencyBlock, channel: str, gains: Sequence[float]) -> None:
    """Errors count as slow here, so what tempers bets on errors tempers these."""
    state = judgement.state
    canary, stable = block.canary, block.stable
    if canary.errors and stable.timed:
        blocks = PACE / ERROR_PACE
        phi = state.server_error_effect.of(canary.timed / blocks, stable.timed / blocks)
        gains = gains if phi == 1 else [gain ** (1 / phi) for gain in gains]
    _bet(judgement, channel, gains)


def _bet(judgement: Judgement, channel: str, gains: Sequence[float]) -> None:
    """Multiply the channel's wealth by the e-values of its alternatives."""
    _, plan, _, state = judgement
    shares = (SHARES_OF if state.warm else COLD_SHARES_OF)[channel]
    weight = plan.weights[channel]
    left = state.unplaced * weight
    kept = shares[-1] * (weight - left) * (1 - OUTAGE_STAKED) if channel in OUTAGE_CHANNELS else 0.0
    state.harm[channel] = state.harm[channel].after(left, shares, gains, kept)


def _count_recent(state: JudgeState, group: str, counts: tuple[float, ...]) -> None:
    recent = state.recent.get(group)
    state.recent[group] = recent.after(state.time, counts) if recent else RecentCounts.of(state.time, counts)


def _test_non_inferiority(
    judgement: Judgement, metric: str, estimate: float, strata: Sequence[tuple[str, PairedCounts]]
) -> None:
    """Bet on the margins of the steps that are still ahead, unless stable has an incident: they
    would mean nothing then.

    To leave out blocks in which stable is seen to be bad can only lower the evidence of no harm.
    """
    policy, plan, step, state = judgement
    strata = [(name, counts) for name, counts in strata if counts.canary_n and counts.stable_n]
    if state.weight >= TOTAL_WEIGHT or state.time < state.incident_until or not strata:
        return
    if state.turns_over(policy.dwell):  # fast failures would look few beside slow good responses, or many
        return
    follow(state, metric, estimate, strata)
    test = state.non_inferiority[metric].with_block(state.time, estimate, strata)
    if state.time - test.since >= min(PROOF_PACE, policy.dwell / 5) - MOMENT:
        test = test.after_bet(
            state.time,
            state.unplaced if state.warm else 1.0 - PROOF_PLACED_COLD,
            plan.rung_of(step),
            lambda rung: non_inferiority_margin(plan, state, metric, rung),
            MOST_PROOF * plan.gate_limit,
        )
    state.non_inferiority[metric] = test
