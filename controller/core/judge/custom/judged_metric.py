"""What is known of one custom metric of a rollout, and how a reading changes it.

Below 100 % a reading compares the two versions at the same time. At 100 % stable has no traffic, so the canary is
compared with what this rollout saw of stable before, with a margin `ALONE_MARGIN` times as wide: a past is not a
present, so there the promise is only as good as stable's past.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import Any, NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.betting import Null, bernoulli_bet, e_value, e_values, grown
from controller.core.judge.blocks import ALONE
from controller.core.judge.channels import GATE_TARGETS
from controller.core.judge.state import Recent
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread

ALTERNATIVES = ((0.02, 0.4), (0.1, 0.4), (0.3, 0.2))
"""Rates above what the margin allows, as shares, each with its part of the stake."""
PLACED, PLACED_LATER = 0.5, 0.05
"""The part of the stake that bets from the first block on; and of the rest, what each later block adds."""
HIGHEST = 0.97
"""Where the null allows more than this, there is nothing to bet on."""
ALONE_MARGIN = 3.0
"""At 100 % the margin is so many times as wide."""
PROOF_MOST = 20.0
"""The proof of no harm is cut off at this many times its limit, so a canary that turns bad shuts its gate soon."""
_PROOF = tuple(share for _, share in GATE_TARGETS)


class Followed(NamedTuple):
    """What is known of one metric. `heard` is when it was last read; `why` says why it was not, the last time."""

    heard: float | None = None
    why: str = "it has not been read yet"
    unplaced: float = 1.0
    bets: tuple[float, ...] = (0.0,) * len(ALTERNATIVES)
    proof: tuple[float, ...] = _PROOF
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Of everything so far, as in `Counted`."""
    gauge: tuple[float, float | None] | None = None
    """Of a gauge: the canary's value, and stable's or the level that it was compared with."""
    worse: tuple[bool, ...] = ()
    decisive: int = 0
    """How many of `worse` decide."""
    levels: tuple[float, ...] = ()
    """Stable's last values, as many as decide, while it had traffic."""
    base: float | None = None
    """The worst level that stable ever had. A level is the median of as many values as decide."""
    alone: bool = False
    """Of a rate: whether the canary was compared with stable's past, the last time."""
    recent: Recent | None = None
    """Of a rate: the counts of the last minutes that were compared so, for people."""

    @classmethod
    def thawed(cls, stored: list[Any]) -> "Followed":
        """What came back from JSON, also from an older version, which had fewer values; TypeError for anything else."""
        values = [_thawed(value) for value in stored]
        recent = values[len(cls._fields) - 1 :]
        return cls(*values[: len(cls._fields) - 1], *(Recent(*counts) if counts else None for counts in recent))

    @property
    def evidence(self) -> float:
        """Of harm, if it is a rate."""
        return self.unplaced + sum(self.bets)

    @property
    def shown(self) -> float:
        """The evidence of no harm, if it is a rate."""
        return sum(self.proof)

    @property
    def harmful(self) -> bool:
        """Whether it is a gauge that was worse often enough."""
        return 0 < self.decisive <= sum(self.worse)

    @property
    def based(self) -> bool:
        """Whether anything is known of stable that the canary can be compared with at 100 %."""
        return self.base is not None if self.gauge else self.counts[2] > 0


def _thawed(value: Any) -> Any:
    return tuple(map(_thawed, value)) if isinstance(value, list) else value


def after_reading(
    before: Followed,
    reading: Reading | None,
    margin: float,
    proof_limit: float,
    weight: int,
    time: float,
    *,
    warm: bool,
) -> Followed:
    """What is known after a reading, if there was one. Nothing is bet on in the warm-up."""
    match reading:
        case Unread(why, heard):
            return before._replace(why=why, heard=time if heard else before.heard)
        case Counted():
            now = before._replace(heard=time, why="")
            return _counted(now, reading, margin, proof_limit, weight, time) if warm else now
        case Gauged(_, stable) if weight >= TOTAL_WEIGHT or stable is not None:
            return _gauged(before._replace(heard=time, why=""), reading, margin, weight, warm=warm)
        case _:
            return before


def _gauged(before: Followed, reading: Gauged, margin: float, weight: int, *, warm: bool) -> Followed:
    if weight < TOTAL_WEIGHT and reading.stable is not None:
        level: float | None = reading.stable
        levels = (*before.levels, reading.stable)[-reading.k :]
        base = _worst(before.base, levels, reading)
    else:
        level, levels, base, margin = before.base, before.levels, before.base, margin * ALONE_MARGIN
    found = () if level is None or not warm else (reading.worse_than(level, margin),)
    return before._replace(
        gauge=(reading.canary, level),
        worse=(*before.worse, *found)[-reading.n :],
        decisive=reading.k,
        levels=levels,
        base=base,
    )


def _worst(base: float | None, levels: Sequence[float], reading: Gauged) -> float | None:
    """The base after another level: one odd value does not move it."""
    if len(levels) < reading.k:
        return base
    known = [median(levels), *([] if base is None else [base])]
    return max(known) if reading.higher else min(known)


def _counted(before: Followed, block: Counted, margin: float, proof_limit: float, weight: int, time: float) -> Followed:
    """After a block: it is bet on with what was known before it, so the first one is only learnt from."""
    counts = Counted(*(a + b for a, b in zip(before.counts, block, strict=True)))
    alone = weight >= TOTAL_WEIGHT and block.stable_n * ALONE < block.canary_n
    same = before.recent if alone == before.alone else None
    recent = same.after(time, block) if same else Recent.of(time, block)
    after = before._replace(counts=counts, alone=alone, recent=recent)
    past = Counted(*before.counts)
    n_c, _, n_s, _ = block
    if not past.stable_n or not n_c:
        return after
    if alone:
        allowed = _allowed_alone(past, margin)
        return _bet(after, Null(0.0, allowed), 0.0, 0.0, block._replace(stable_n=0, stable_x=0))
    if not n_s:
        return after
    q, r = (past.stable_x + 0.5) / (past.stable_n + 1), n_c / n_s
    after = _bet(after, Null(1.0, margin), q, r, block)
    return after if weight >= TOTAL_WEIGHT else _prove(after, margin, q, r, block, PROOF_MOST * proof_limit)


def _allowed_alone(past: Counted, margin: float) -> float:
    """The rate that is allowed at 100 %: stable's of before, at most what its counts leave in doubt above it."""
    n, q = past.stable_n, (past.stable_x + 0.5) / (past.stable_n + 1)
    return q + 2 * sqrt(q * (1 - q) / n) + ALONE_MARGIN * margin


def _bet(before: Followed, null: Null, q: float, r: float, block: Counted) -> Followed:
    """After betting on harm."""
    allowed = null.ratio * q + null.margin
    if allowed >= HIGHEST:
        return before
    fresh = before.unplaced * (PLACED_LATER if any(before.bets) else PLACED)
    targets = [min(allowed + more, (HIGHEST + allowed) / 2) for more, _ in ALTERNATIVES]
    found = e_values(null, q, targets, r, block)
    bets = tuple(
        grown(bet + fresh * share, e) for bet, (_, share), e in zip(before.bets, ALTERNATIVES, found, strict=True)
    )
    return before._replace(unplaced=before.unplaced - fresh, bets=bets)


def _prove(before: Followed, margin: float, q: float, r: float, block: Counted, most: float) -> Followed:
    """After betting on no harm."""
    if q + margin >= HIGHEST:
        return before
    null = Null(1.0, margin)
    gains = [e_value(bernoulli_bet(null, q, q + part * margin, r), *block) for part, _ in GATE_TARGETS]
    return before._replace(
        proof=tuple(min(most, grown(wealth, e)) for wealth, e in zip(before.proof, gains, strict=True))
    )
