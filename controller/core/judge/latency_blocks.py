"""Whether the canary is slower: latency as exceedances of stable's running quantiles.

To test a quantile is to test how often it is exceeded, so no density and no interpolation is needed. The canary's
answers are counted above thresholds that are higher by the tolerance: the null is that the canary is slower by no more
than that. Thresholds are stable's quantiles of the past, and stand still while a block is open: a threshold that moved
with the block's own outcomes would break the proof.

Server errors count as infinitely slow. Envoy's histogram holds them among the answers, at places unknown; where it
does not (fewer entries than answers), they are added. For harm they are placed where they speak least for it: the
canary's among its slowest answers, stable's among its fastest. The bound is then valid wherever they were, and a canary
that fails fast cannot look faster than it would be if those answers had been its slowest. At the gates the histogram is
taken as it is: what failing fast can hide there is bounded by the errors' own gate.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, repeat
from math import inf
from operator import itemgetter
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.blocks import ALONE, MOMENT, TOO_MANY, needed
from controller.core.judge.channels import QUANTILES

HALF_LIFE = 70.0
"""Seconds after which an answer counts half in stable's running histogram."""
FEWEST = 50.0
"""Answers of stable before its quantiles are believed."""
REFRESH = 20.0
"""Seconds that thresholds stand at least."""
PACE = 4.0
"""Seconds that a block stays open at least: quantiles need many answers, so nothing is lost by looking less often."""
BINS = len(QUANTILES) + 1
MEDIAN, TAIL = QUANTILES.index(0.50), QUANTILES.index(0.99)
ABOUT = 0.07
"""How far from its quantile an edge may be, as a share of the answers."""
NEARBY = 3
"""How many edges away it may be."""
ROUNDED = 0.01
"""Edges are rounded numbers: 7.9 stands for 7.2 and 10 % more."""

MOST_REPORTS = 32
"""Histograms of an open block that are kept apart."""

Histogram = tuple[tuple[float, int], ...]
"""(Upper edge in milliseconds, answers in that bucket)."""
_COUNT = itemgetter(1)


class Thresholds(NamedTuple):
    """Where latency is cut, in milliseconds: stable's edges, the canary's (slower by the tolerance), the canary's at
    the gates of p50 and p99, and the absolute limit. `q` is how often stable exceeded its edges up to now, `over` how
    often the limit. `scores` are the ranks in the middle of the bins, 0 to 1: the whole distribution in one number.
    """

    since: float
    stable: tuple[float, ...]
    canary: tuple[float, ...]
    gates: tuple[float, float]
    limit: float
    q: tuple[float, ...]
    over: float
    scores: tuple[float, ...]


class Side(NamedTuple):
    """One version in an open block: answers, errors among them, and the histograms of those that were timed.

    The reports are added up when the block is closed: looks are many, blocks are few.
    """

    answered: int = 0
    errors: int = 0
    timed: int = 0
    reports: tuple[Histogram, ...] = ()

    def after(self, answered: int, errors: int, latency: Histogram) -> "Side":
        """With a tick's answers."""
        reports = (*self.reports, latency) if latency else self.reports
        timed = self.timed + sum(map(_COUNT, latency))
        grown = Side(self.answered + answered, self.errors + errors, timed, reports)
        return grown if len(reports) <= MOST_REPORTS else grown.added_up()

    def added_up(self) -> "Side":
        """The same with one histogram."""
        buckets = dict(self.reports[0]) if self.reports else {}
        for report in self.reports[1:]:
            for edge, count in report:
                buckets[edge] = buckets.get(edge, 0) + count
        return self._replace(reports=(tuple(buckets.items()),))

    def above(self, edge: float) -> int:
        """Timed answers above an edge: a bucket lies above it if its own upper edge does."""
        return sum([count for report in self.reports for upper, count in report if upper > edge])

    def bins(self, edges: Sequence[float]) -> list[int]:
        """Timed answers between the edges."""
        bins = [0] * BINS
        for report in self.reports:
            for upper, count in report:
                bins[bisect_left(edges, upper)] += count
        return bins


class Pair(NamedTuple):
    """An open block of both versions."""

    since: float = 0.0
    canary: Side = Side()
    stable: Side = Side()

    def closes(self, weight: int, time: float) -> bool:
        """Whether both sides can be compared. Looks at sizes and at the clock alone."""
        if time - self.since < PACE - MOMENT or self.canary.timed < 1:
            return False
        if weight >= TOTAL_WEIGHT:
            return True
        return self.stable.timed >= 1 and self.canary.timed + self.stable.timed >= needed(weight)

    def added_up(self) -> "Pair":
        """The same, with one histogram a side."""
        return Pair(self.since, self.canary.added_up(), self.stable.added_up())

    def stale(self, weight: int) -> bool:
        """Whether it has waited for one side for too long."""
        timed_c, timed_s = self.canary.timed, self.stable.timed
        return weight < TOTAL_WEIGHT and (not timed_c or not timed_s) and timed_c + timed_s >= TOO_MANY * needed(weight)

    @property
    def alone(self) -> bool:
        """Whether stable has too little traffic to compare with."""
        return self.stable.timed * ALONE < self.canary.timed


def with_errors(side: Side, bins: Sequence[int], *, slowest: bool) -> list[int]:
    """The bins with the errors in the last one, added where the histogram lacks them.

    `slowest`: those it holds are taken from the slowest answers, else from the fastest.
    """
    out = list(bins)
    if not side.errors:
        return out
    missing = min(side.errors, max(0, side.answered - side.timed))
    moving = min(side.errors - missing, side.timed)
    out[-1] += missing + moving
    for i in range(BINS - 1, -1, -1) if slowest else range(BINS):
        taken = min(bins[i], moving)
        out[i] -= taken
        moving -= taken
    return out


def exceeding(bins: Sequence[int]) -> list[int]:
    """How many lie above each edge."""
    above, out = 0, []
    for count in reversed(bins[1:]):
        above += count
        out.append(above)
    return out[::-1]


class Past(NamedTuple):
    """Stable's running histogram. Counts are inflated instead of decayed: what comes later weighs more, so a block
    touches only the buckets that it brings."""

    at: float = 0.0
    weight: float = 1.0
    total: float = 0.0
    counts: Mapping[float, float] = {}

    def after(self, stable: Side, time: float) -> "Past":
        """With stable's answers up to `time`."""
        counts = dict(self.counts)
        weight, total = self.weight * 2.0 ** ((time - self.at) / HALF_LIFE), self.total
        total += stable.timed * weight
        for report in stable.reports:
            for edge, count in report:
                counts[edge] = counts.get(edge, 0.0) + count * weight
        if weight > 1e12:
            counts = {edge: count / weight for edge, count in counts.items()}
            total, weight = total / weight, 1.0
        return Past(time, weight, total, counts)

    @property
    def enough(self) -> bool:
        """Whether there is enough to take quantiles from."""
        return self.total >= FEWEST * self.weight

    @property
    def slowest(self) -> float:
        """The upper edge of the slowest bucket that holds an answer, in milliseconds; infinite if none does."""
        return max(self.counts, default=inf)

    def thresholds(
        self, seen: Sequence[float], slower: float, in_tail: float, limit: float, errors: float
    ) -> Thresholds:
        """The cuts for a canary that may be slower by the factor `slower`, at the p99's gate by `in_tail`; `limit` in
        milliseconds.

        `seen` are edges that may not have held an answer; `errors` is the share of answers that are infinitely slow.
        """
        counts, total = self.counts, self.total
        edges = sorted([*seen, *counts.keys() - set(seen)])
        reached = list(accumulate(map(counts.get, edges, repeat(0.0))))
        chosen = [_edge_at(edges, reached, total, quantile, slower) for quantile in QUANTILES]
        cuts = [edges[i] for i in chosen]
        ceiling = _beyond(edges, limit)
        over = max(0.0, 1.0 - reached[bisect_left(edges, ceiling)] / total) if ceiling < inf else 0.0
        q = tuple([min(0.98, max(0.0, 1.0 - reached[i] / total) + errors) for i in chosen])
        return Thresholds(
            self.at,
            tuple(cuts),
            tuple([_beyond(edges, cut * slower) for cut in cuts]),
            (_beyond(edges, cuts[MEDIAN] * slower), _beyond(edges, cuts[TAIL] * in_tail)),
            ceiling,
            q,
            min(0.98, over + errors),
            tuple([1 - (here + above) / 2 for here, above in zip((1.0, *q), (*q, 0.0), strict=True)]),
        )


def _edge_at(edges: Sequence[float], reached: Sequence[float], total: float, quantile: float, slower: float) -> int:
    """The edge that stands for a quantile: of those about there the one whose shifted edge overshoots the tolerance
    least, of equal ones the nearest. Ranks need not be exact, but tails must not be exceeded more often."""
    wanted = 1 - quantile
    most, least = (wanted + ABOUT, wanted - ABOUT) if wanted > 2 * ABOUT else (wanted, wanted / 2)
    at = min(bisect_left(reached, quantile * total * (1 - 1e-12)), len(edges) - 1)
    first = max(at - NEARBY, bisect_left(reached, (1 - most) * total * (1 - 1e-12)))
    last = min(at + NEARBY, bisect_right(reached, (1 - least) * total), len(edges) - 1)
    best, found = inf, at
    for i in sorted(range(first, last), key=lambda i: abs(i - at)):
        overshoot = _beyond(edges, edges[i] * slower) / edges[i]
        if overshoot < best:
            best, found = overshoot, i
    return found


def _beyond(edges: Sequence[float], value: float) -> float:
    """The lowest edge that is not below the value, but for rounding."""
    at = bisect_left(edges, value * (1 - ROUNDED))
    return edges[at] if at < len(edges) else inf
