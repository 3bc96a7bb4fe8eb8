"""What is known of one custom metric of a rollout, and how a reading changes it.

Below 100 % a reading compares the two versions at the same time. At 100 % stable has no traffic, so
the canary is compared with what this rollout saw of stable before, with a margin `ALONE_MARGIN`
times as wide: a past is not a present, so there the promise is only as good as stable's past.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import Any, NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import HIGHEST, Null, bernoulli_bets, grown, payoffs
from controller.core.judge.block import ALONE
from controller.core.judge.channels import GATE_TARGET
from controller.core.judge.custom import absolute_limits
from controller.core.judge.custom.harm_bets import ALTERNATIVES, HarmBets
from controller.core.judge.non_inferiority import MOST
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.recent_counts import RecentCounts
from controller.core.model.service import MetricPolicy
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread

ALONE_MARGIN = 3.0
"""At 100 % the margin is so many times as wide."""


class JudgedMetric(NamedTuple):
    """What is known of one metric. It is stored as the list of its values, so their order is fixed.

    `last_reading` is seconds of observation; `why_unknown` says why the last poll gave no reading,
    empty if it did.
    """

    last_reading: float | None = None
    why_unknown: str = "it has not been read yet"
    unplaced: float = 1.0
    """The stake that is not yet placed."""
    bets: tuple[float, ...] = (0.0,) * len(ALTERNATIVES)
    """The wealth of each bet on harm."""
    proof: tuple[float, ...] = (1.0,)
    """The wealth of each bet on no harm."""
    counts: PairedCounts = PairedCounts(0, 0, 0, 0)
    """Of a rate: everything so far."""
    gauge: tuple[float, float | None] | None = None
    """Of a gauge: the canary's value, and stable's or the level that it was compared with."""
    worse: tuple[bool, ...] = ()
    """Of a gauge: whether each of the last readings was worse than allowed."""
    decisive: int = 0
    """How many of `worse` decide."""
    levels: tuple[float, ...] = ()
    """Stable's last values, as many as decide, while it had traffic."""
    worst_level: float | None = None
    """The worst level that stable ever had. A level is the median of as many values as decide."""
    alone: bool = False
    """Of a rate: whether the canary was last compared with stable's past."""
    recent: RecentCounts | None = None
    """Of a rate: the counts of the last minutes that were compared so, for people."""
    limits: tuple[HarmBets, ...] = ()
    """Of a rate: the bets on its absolute limits, those of `max` first; empty before the first."""

    @classmethod
    def from_stored(cls, stored: list[Any]) -> "JudgedMetric":
        """From the list of values in JSON, also of an older version, which had fewer.

        TypeError for anything else.
        """
        if len(stored) > len(cls._fields):
            raise TypeError(f"{len(stored)} values of a metric, and it has {len(cls._fields)}")
        known = dict(zip(cls._fields, map(_as_tuple, stored), strict=False))
        metric = cls(**known)
        return metric._replace(
            counts=PairedCounts(*metric.counts),
            recent=RecentCounts(*metric.recent) if metric.recent else None,
            limits=tuple(HarmBets(*bets) for bets in metric.limits),
        )

    @property
    def harm_evidence(self) -> float:
        """The e-value of harm, if it is a rate: in comparison with stable, and against its limits."""
        compared = HarmBets(self.unplaced, self.bets).evidence
        if not self.limits:
            return compared
        part = absolute_limits.LIMITS_PART
        return (1 - part) * compared + part * self.limit_evidence

    @property
    def limit_evidence(self) -> float:
        """The e-value against all absolute limits together; 1 without any."""
        return sum(bets.evidence for bets in self.limits) / len(self.limits) if self.limits else 1.0

    @property
    def no_harm_evidence(self) -> float:
        """The e-value of no harm, if it is a rate."""
        return sum(self.proof)

    @property
    def gauge_harmful(self) -> bool:
        """Whether it is a gauge that was worse often enough."""
        return 0 < self.decisive <= sum(self.worse)

    @property
    def has_past(self) -> bool:
        """Whether anything is known of stable that the canary can be compared with at 100 %."""
        return self.worst_level is not None if self.gauge else self.counts.stable_n > 0


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


class ReadingConditions(NamedTuple):
    """When a metric is read: the canary's weight (basis points), seconds of observation, whether
    the warm-up is over, and the e-value at which no harm is shown."""

    weight: int
    time: float
    warm: bool
    proof_limit: float


def after_reading(
    before: JudgedMetric, reading: Reading | None, policy: MetricPolicy, now: ReadingConditions
) -> JudgedMetric:
    """What is known after a reading, if there was one. Nothing is bet on in the warm-up."""
    match reading:
        case Unread(why, heard):
            return before._replace(why_unknown=why, last_reading=now.time if heard else before.last_reading)
        case Counted():
            read = before._replace(last_reading=now.time, why_unknown="")
            if not now.warm:
                return read
            block = PairedCounts(*reading)
            limits = absolute_limits.after_block(read.limits, policy, read.counts, block)
            return _after_counts(read, block, policy.margin, now)._replace(limits=limits)
        case Gauged(_, stable) if now.weight >= TOTAL_WEIGHT or stable is not None:
            return _after_values(before._replace(last_reading=now.time, why_unknown=""), reading, policy, now)
        case _:
            return before


def _after_values(before: JudgedMetric, reading: Gauged, policy: MetricPolicy, now: ReadingConditions) -> JudgedMetric:
    """After a reading of a gauge."""
    margin = policy.margin
    if now.weight < TOTAL_WEIGHT and reading.stable is not None:
        level: float | None = reading.stable
        levels = (*before.levels, reading.stable)[-reading.k :]
        worst = _worst_level(before.worst_level, levels, reading)
    else:
        level, levels, worst = before.worst_level, before.levels, before.worst_level
        margin *= ALONE_MARGIN
    broken = not absolute_limits.are_kept(policy, reading.canary)
    broken = broken and (level is None or absolute_limits.are_kept(policy, level))
    compared = level is not None and reading.worse_than(level, margin)
    has_limit = policy.max is not None or policy.min is not None
    worse = (compared or broken,) if now.warm and (level is not None or has_limit) else ()
    return before._replace(
        gauge=(reading.canary, level),
        worse=(*before.worse, *worse)[-reading.n :],
        decisive=reading.k,
        levels=levels,
        worst_level=worst,
    )


def _worst_level(worst: float | None, levels: Sequence[float], reading: Gauged) -> float | None:
    """The worst level after another one: one odd value does not move it."""
    if len(levels) < reading.k:
        return worst
    known = [median(levels), *([] if worst is None else [worst])]
    return max(known) if reading.higher else min(known)


def _after_counts(before: JudgedMetric, block: PairedCounts, margin: float, now: ReadingConditions) -> JudgedMetric:
    """After a block of a rate: it is bet on with what was known before it, so the first one is only
    learnt from."""
    alone = now.weight >= TOTAL_WEIGHT and block.stable_n * ALONE < block.canary_n
    same = before.recent if alone == before.alone else None
    recent = same.after(now.time, block) if same else RecentCounts.of(now.time, block)
    past = before.counts
    after = before._replace(counts=past.plus(block), alone=alone, recent=recent)
    if not past.stable_n or not block.canary_n:
        return after
    if alone:
        allowed = _allowed_alone(past, margin)
        return _bet(after, Null(0.0, allowed), 0.0, 0.0, block._replace(stable_n=0, stable_events=0))
    if not block.stable_n:
        return after
    q, r = (past.stable_events + 0.5) / (past.stable_n + 1), block.canary_n / block.stable_n
    after = _bet(after, Null(1.0, margin), q, r, block)
    if now.weight >= TOTAL_WEIGHT:
        return after
    return _bet_on_no_harm(after, Null(1.0, margin), q, block, MOST * now.proof_limit)


def _allowed_alone(past: PairedCounts, margin: float) -> float:
    """The rate that is allowed at 100 %: stable's past one, and at most what its counts leave in
    doubt above it."""
    n, q = past.stable_n, (past.stable_events + 0.5) / (past.stable_n + 1)
    return q + 2 * sqrt(q * (1 - q) / n) + ALONE_MARGIN * margin


def _bet(before: JudgedMetric, null: Null, q: float, r: float, block: PairedCounts) -> JudgedMetric:
    """After betting on harm."""
    unplaced, bets = HarmBets(before.unplaced, before.bets).after(null, q, r, block)
    return before._replace(unplaced=unplaced, bets=tuple(bets))


def _bet_on_no_harm(before: JudgedMetric, null: Null, q: float, block: PairedCounts, most: float) -> JudgedMetric:
    """After betting on no harm."""
    margin, r = null.margin, block.canary_n / block.stable_n
    if q + margin >= HIGHEST:
        return before
    gains = payoffs(bernoulli_bets(null, q, (q + GATE_TARGET * margin,), r), block)
    return before._replace(
        proof=tuple(min(most, grown(wealth, e)) for wealth, e in zip(before.proof, gains, strict=True))
    )
