"""Absolute limits of a custom metric, `max` and `min`: what the canary must keep, whatever stable does.

A limit is judged only while stable keeps it: where stable breaks it too, the canary is not the
cause, and is compared with stable alone. A limit of a rate is a hypothesis of its own, with a
bet of its own: P_canary(event) <= max, and P_canary(no event) <= 1 - min.
"""

from controller.core.judge.betting import LEAST_RATE, Null
from controller.core.judge.custom.harm_bets import HarmBets
from controller.core.judge.paired_counts import PairedCounts
from controller.core.model.service import MetricPolicy

LIMITS_PART = 0.5
"""The part of a metric's bet that its absolute limits have together; the comparison with stable has
the rest."""


def are_kept(policy: MetricPolicy, value: float) -> bool:
    """Whether a value lies within the limits."""
    return (policy.max is None or value <= policy.max) and (policy.min is None or value >= policy.min)


def are_broken(policy: MetricPolicy, counts: PairedCounts) -> bool:
    """Whether the canary's rate is beyond the limits in these counts, and stable's is not."""
    canary, stable = counts.canary_rate, counts.stable_rate
    return (
        canary is not None
        and not are_kept(policy, canary)
        and (stable is None or not counts.stable_n or are_kept(policy, stable))
    )


def describe_limits(policy: MetricPolicy, *, share: bool) -> str:
    """The limits, as they stand in a sentence; empty without any."""
    words = (("at least", policy.min), ("at most", policy.max))
    texts = [
        f"{word} {limit * 100:g} %" if share else f"{word} {limit:g}" for word, limit in words if limit is not None
    ]
    return " and ".join(texts)


def after_block(
    before: tuple[HarmBets, ...], policy: MetricPolicy, past: PairedCounts, block: PairedCounts
) -> tuple[HarmBets, ...]:
    """The bets on each limit after a block. Stable's counts decide whether to bet, and never how it
    ends: they say nothing of the canary's part of the block."""
    sides = [(policy.max, past, block)] if policy.max is not None else []
    if policy.min is not None:
        sides.append((1 - policy.min, _inverted(past), _inverted(block)))
    bets = before or (HarmBets(),) * len(sides)
    return tuple(_after(each, *side) for each, side in zip(bets, sides, strict=True))


def _after(before: HarmBets, limit: float, past: PairedCounts, block: PairedCounts) -> HarmBets:
    kept = all(counts.stable_events <= limit * counts.stable_n for counts in (past, block))
    if not kept or not block.canary_n:
        return before
    alone = block._replace(stable_n=0, stable_events=0)
    return before.after(Null(0.0, max(limit, LEAST_RATE)), 0.0, 0.0, alone)


def _inverted(counts: PairedCounts) -> PairedCounts:
    """With what was no event as the event."""
    n_c, x_c, n_s, x_s = counts
    return PairedCounts(n_c, n_c - x_c, n_s, n_s - x_s)
