"""The bets of closed blocks: what a block says on each channel, and for the non-inferiority tests.

Every function changes the judgement's own copy of the state.
"""

from collections.abc import Sequence

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import Null, bernoulli_bet, e_value, e_values, score_e_value
from controller.core.judge.block import MOMENT, Block
from controller.core.judge.channels import (
    ALTERNATIVES_OF,
    COLD_SHARES_OF,
    LIMITS,
    MOST_GAIN,
    ODDS,
    OVERDUE_ALTERNATIVES,
    OVERDUE_MARGIN,
    OVERDUE_MARGIN_COLD,
    SHARES_OF,
    SHIFT_MARGIN,
    SHIFTS,
    TAILS,
    WARM_UP_MARGIN,
)
from controller.core.judge.grace_period import GRACE_LIMITS, NO_EXCURSION
from controller.core.judge.latency_block import MEDIAN, TAIL, exceeding, with_errors
from controller.core.judge.latency_thresholds import Thresholds
from controller.core.judge.margins import allowed_slow_errors, error_null, non_inferiority_margin, past_error_limit
from controller.core.judge.non_inferiority import MOST as MOST_PROOF
from controller.core.judge.non_inferiority import PACE as PROOF_PACE
from controller.core.judge.non_inferiority import PLACED_COLD as PROOF_PLACED_COLD
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.recent_counts import RecentCounts
from controller.core.judge.state import Judgement, JudgeState

MOST_OF_PAUSE = 20.0
"""The factor that a block counts for at most as evidence of slowness. A server that pauses for a
second makes every response of that second slow: one event, not fifty. So no rollback for slowness
rests on fewer than three blocks."""
MOST_SHIFT = 0.2
"""Where more errors than this share are allowed, they would drown the mean rank."""
MOST_ALLOWED = 0.95
"""Where the null allows more than this share, there is nothing to bet on."""
MOST_TARGET = 0.97
"""A bet on more than this share would have nothing left for the request that goes well."""


def close_error_block(judgement: Judgement) -> None:
    """Bet on server errors (5xx) and on their absolute limit."""
    policy, _, _, state = judgement
    block, counts = state.error_block, state.error_block.counts
    _bet_on_error_excess(judgement, "5xx", block, counts)
    limit = policy.errors.max
    if limit is not None and counts.stable_events <= limit * counts.stable_n and state.server_errors.estimate <= limit:
        # What stable does in the same block says nothing of the canary's part, so it may decide whether to bet.
        allowed = limit if state.warm else min(MOST_ALLOWED, limit + WARM_UP_MARGIN)
        _bet_on_errors(judgement, "errors_max", Null(0.0, allowed), block.estimate, counts)
    _count_recent(state, "5xx", counts)
    _test_non_inferiority(judgement, "5xx", block.estimate, counts)


def close_client_error_block(judgement: Judgement) -> None:
    """Bet on client errors (4xx)."""
    block = judgement.state.client_error_block
    counts = block.counts
    _bet_on_error_excess(judgement, "4xx", block, counts)
    _count_recent(judgement.state, "4xx", counts)
    _test_non_inferiority(judgement, "4xx", block.estimate, counts)


def close_overdue_block(judgement: Judgement) -> None:
    """Bet on requests that are not answered."""
    policy, _, _, state = judgement
    block, counts = state.overdue_block, state.overdue_block.counts
    margin = OVERDUE_MARGIN if state.warm else OVERDUE_MARGIN_COLD
    null = Null(0.0, margin) if block.alone else Null(policy.errors.ratio, margin)
    allowed = null.ratio * block.estimate + margin
    r = counts.canary_n / counts.stable_n if counts.stable_n else 0.0
    alone = _runs_alone(state, block)
    share = counts.canary_events / counts.canary_n if alone else counts.stable_events / counts.stable_n
    if _may_bet(state, "overdue", share - margin, state.time - block.since, alone=alone):
        targets = [allowed + (1 - allowed) * more for more, _ in OVERDUE_ALTERNATIVES]
        gains = [e_value(bernoulli_bet(null, block.estimate, p, r), counts) for p in targets]
        _bet(judgement, "overdue", gains)
    _count_recent(state, "overdue", counts)


def close_latency_block(judgement: Judgement, thresholds: Thresholds) -> None:
    """Bet on slowness: the whole distribution, five of its quantiles, the absolute limit.

    Errors count as slow responses here, so the errors that are allowed are allowed here too.
    """
    state = judgement.state
    canary, stable = state.latency_block.canary, state.latency_block.stable
    timed_bins = stable.bins(thresholds.stable)
    bins_c = with_errors(canary, canary.bins(thresholds.canary), slowest=True)
    bins_s = with_errors(stable, timed_bins, slowest=False)
    over_c, over_s = exceeding(bins_c), exceeding(bins_s)
    n_c, n_s = sum(bins_c), sum(bins_s)
    alone = state.weight >= TOTAL_WEIGHT and state.latency_block.alone
    if state.warm:
        errors = allowed_slow_errors(judgement.policy, state, alone=alone)
        for name, (i, _) in TAILS.items():
            counts = PairedCounts(n_c, over_c[i], n_s, over_s[i])
            _bet_on_tail(judgement, name, thresholds.exceeded[i], errors, counts, alone)
        if not alone and errors < MOST_SHIFT:
            _bet_on_shift(judgement, thresholds.scores, errors, bins_c, bins_s)
        _bet_on_latency_limit(judgement, thresholds, errors, n_c)
    _count_recent(state, "latency", (n_c, *over_c, n_s, *over_s))
    if alone:
        return
    over_timed = exceeding(timed_bins) if stable.errors else over_s
    for metric, i, edge in (
        ("latency_p50", MEDIAN, thresholds.median_proof),
        ("latency_p99", TAIL, thresholds.tail_proof),
    ):
        counts = PairedCounts(canary.timed, canary.above(edge), stable.timed, over_timed[i])
        _test_non_inferiority(judgement, metric, thresholds.exceeded[i], counts)


def _runs_alone(state: JudgeState, block: Block) -> bool:
    """Whether there is nothing to compare with.

    In the bake's first moments, proxies that do not serve it yet may still give stable traffic.
    """
    return state.weight >= TOTAL_WEIGHT and block.alone


def _may_bet(state: JudgeState, channel: str, excess: float, seconds: float, *, alone: bool) -> bool:
    """Whether a closed block of so many seconds may be bet on. Keeps the channel's excursions.

    `excess` is the share of events above what is allowed: the canary's where it runs alone, else
    stable's. Beside stable every block may be bet on, and stable's excursions are tracked: the bake
    grants the canary as much. Alone, a block may be bet on only if the blocks before it have used
    up the grace.
    """
    period, limit = state.grace.get(channel, NO_EXCURSION), GRACE_LIMITS[channel]
    if alone:
        state.grace[channel] = period.after(excess, seconds, limit)
        return period.depth >= period.allowance(limit, state.time - state.weight_changed_at)
    if state.weight < TOTAL_WEIGHT:
        state.grace[channel] = period.after(excess, seconds, limit).with_worst()
    return True


def _bet_on_error_excess(judgement: Judgement, channel: str, block: Block, counts: PairedCounts) -> None:
    """Bet that the canary has more errors than stable allows."""
    policy, plan, _, state = judgement
    alone, seconds = _runs_alone(state, block), state.time - block.since
    null = plan.harm if state.weight >= TOTAL_WEIGHT and not alone else error_null(policy, plan, state, channel)
    if alone:
        excess = counts.canary_events / counts.canary_n - null.margin
    elif counts.stable_events or state.grace.get(channel, NO_EXCURSION).depth:
        excess = counts.stable_events / counts.stable_n - past_error_limit(policy, state, channel)
    else:  # stable is well: no excursion to track
        _bet_on_errors(judgement, channel, null, block.estimate, counts)
        return
    if _may_bet(state, channel, excess, seconds, alone=alone):
        _bet_on_errors(judgement, channel, null, block.estimate, counts)


def _bet_on_errors(judgement: Judgement, channel: str, null: Null, estimate: float, counts: PairedCounts) -> None:
    allowed = null.ratio * estimate + null.margin
    if allowed >= MOST_ALLOWED:
        return
    most = allowed * MOST_GAIN
    targets = [allowed + more if allowed + more < most else most for more, _ in ALTERNATIVES_OF[channel]]
    if targets[-1] >= MOST_TARGET:
        targets = [p if p < MOST_TARGET else (MOST_TARGET + allowed) / 2 for p in targets]
    r = counts.canary_n / counts.stable_n if counts.stable_n else 0.0
    _bet(judgement, channel, e_values(null, estimate, targets, r, counts))


def _bet_on_tail(
    judgement: Judgement, name: str, exceeded: float, errors: float, counts: PairedCounts, alone: bool
) -> None:
    """Bet that the canary exceeds a quantile of stable's too often; stable has exceeded it by the
    share `exceeded`."""
    state, margin = judgement.state, TAILS[name][1] + errors
    n_c, over_c, n_s, over_s = counts
    excess = (over_c / n_c if alone else over_s / n_s) - (exceeded + margin)
    if not _may_bet(state, name, excess, state.time - state.latency_block.since, alone=alone):
        return
    allowed = min(0.985, exceeded + margin)
    null = Null(0.0, allowed) if alone else Null(1.0, allowed - exceeded)
    r = 0.0 if alone else n_c / n_s
    odds = allowed / (1 - allowed)
    targets = [odds * times / (1 + odds * times) for times, _ in ODDS]
    _bet_on_slowness(judgement, name, [e_value(bernoulli_bet(null, exceeded, p, r), counts) for p in targets])


def _bet_on_shift(
    judgement: Judgement, scores: Sequence[float], errors: float, bins_c: Sequence[int], bins_s: Sequence[int]
) -> None:
    """Bet on the mean rank: Wilcoxon's test, in bins. Stable's is 1/2, wherever the bins are
    cut."""
    null = Null(1.0, SHIFT_MARGIN + errors)
    targets = [0.5 + null.margin + more for more, _ in SHIFTS]
    _bet_on_slowness(judgement, "latency", [score_e_value(null, 0.5, p, scores, bins_c, bins_s) for p in targets])


def _bet_on_latency_limit(judgement: Judgement, thresholds: Thresholds, errors: float, n_c: int) -> None:
    """Bet that the canary breaks the policy's limit of p99; not where stable itself does."""
    state, limit = judgement.state, thresholds.limit
    canary, stable = state.latency_block.canary, state.latency_block.stable
    if judgement.policy.latency.p99 is None or thresholds.first_over_limit > 0.01:
        return
    if stable.above(limit) > 0.01 * stable.timed + 1:
        return
    over = max(canary.above(limit), min(canary.errors, n_c))
    allowed = min(0.9, 0.01 + errors + state.server_errors.estimate)
    null, targets = Null(0.0, allowed), [min(MOST_TARGET, allowed + more) for more, _ in LIMITS]
    counts = PairedCounts(n_c, over)
    _bet_on_slowness(judgement, "latency_max", [e_value(bernoulli_bet(null, 0.0, p, 0.0), counts) for p in targets])


def _bet_on_slowness(judgement: Judgement, channel: str, gains: Sequence[float]) -> None:
    _bet(judgement, channel, [gain if gain < MOST_OF_PAUSE else MOST_OF_PAUSE for gain in gains])


def _bet(judgement: Judgement, channel: str, gains: Sequence[float]) -> None:
    """Multiply the channel's wealth by the e-values of its alternatives."""
    _, plan, _, state = judgement
    shares = (SHARES_OF if state.warm else COLD_SHARES_OF)[channel]
    state.harm[channel] = state.harm[channel].after(state.unplaced * plan.weights[channel], shares, gains)


def _count_recent(state: JudgeState, group: str, counts: tuple[float, ...]) -> None:
    recent = state.recent.get(group)
    state.recent[group] = recent.after(state.time, counts) if recent else RecentCounts.of(state.time, counts)


def _test_non_inferiority(judgement: Judgement, metric: str, estimate: float, counts: PairedCounts) -> None:
    """Bet on the margins of the steps that are still ahead, unless stable has an incident: they
    would mean nothing then.

    To leave out blocks in which stable is seen to be bad can only lower the evidence of no harm.
    """
    policy, plan, step, state = judgement
    if state.weight >= TOTAL_WEIGHT or state.time < state.incident_until or not counts.stable_n:
        return
    test = state.non_inferiority[metric].with_block(state.time, estimate, counts)
    if state.time - test.since >= min(PROOF_PACE, policy.dwell / 5) - MOMENT:
        test = test.after_bet(
            state.time,
            state.unplaced if state.warm else 1.0 - PROOF_PLACED_COLD,
            plan.rung_of(step),
            lambda rung: non_inferiority_margin(plan, state, metric, rung),
            MOST_PROOF * plan.gate_limit,
        )
    state.non_inferiority[metric] = test
