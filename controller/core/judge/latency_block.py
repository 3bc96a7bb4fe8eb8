"""Open blocks of latency: the histograms of both versions between two bets on slowness.

To test a quantile is to test how often it is exceeded, so no density and no interpolation is
needed. Responses are counted above thresholds (`latency_thresholds`): the null is that the canary
is slower by no more than the tolerance.

Server errors count as infinitely slow. Envoy's histogram holds them among the responses, at unknown
places; where it does not (fewer entries than responses), they are added. For harm they are placed
where they say least for it: the canary's among its slowest responses, stable's among its fastest.
The bound is then valid wherever they were, and a canary that fails fast cannot look faster than it
would if those responses had been its slowest. The non-inferiority tests take the histogram as it
is: the errors' own test bounds what failing fast can hide there.
"""

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.block import ALONE, MOMENT, PACE, TOO_MANY, block_size
from controller.core.judge.channels import QUANTILES

BINS = len(QUANTILES) + 1
"""Bins between stable's quantiles."""
MEDIAN, TAIL = QUANTILES.index(0.50), QUANTILES.index(0.99)
"""The indices of the p50 and of the p99 in `QUANTILES`."""

MOST_HISTOGRAMS = 32
"""Histograms of an open block that are kept apart."""

Histogram = tuple[tuple[float, int], ...]
"""(Upper edge in milliseconds, responses in that bucket)."""
_COUNT = itemgetter(1)


class LatencySide(NamedTuple):
    """One version in an open block: responses, errors among them, and the histograms of those that
    were timed.

    The histograms are merged when the block closes: ticks are many, blocks are few.
    """

    answered: int = 0
    errors: int = 0
    timed: int = 0
    histograms: tuple[Histogram, ...] = ()

    def after(self, answered: int, errors: int, latency: Histogram) -> "LatencySide":
        """With one tick's responses."""
        histograms = (*self.histograms, latency) if latency else self.histograms
        timed = self.timed + sum(map(_COUNT, latency))
        side = LatencySide(self.answered + answered, self.errors + errors, timed, histograms)
        return side if len(histograms) <= MOST_HISTOGRAMS else side.merged()

    def merged(self) -> "LatencySide":
        """The same with one histogram."""
        buckets = dict(self.histograms[0]) if self.histograms else {}
        for histogram in self.histograms[1:]:
            for edge, count in histogram:
                buckets[edge] = buckets.get(edge, 0) + count
        return self._replace(histograms=(tuple(buckets.items()),))

    def above(self, edge: float) -> int:
        """Timed responses above an edge: a bucket lies above it if its own upper edge does."""
        return sum([count for histogram in self.histograms for upper, count in histogram if upper > edge])

    def bins(self, edges: Sequence[float]) -> list[int]:
        """Timed responses between the edges."""
        bins = [0] * BINS
        for histogram in self.histograms:
            for upper, count in histogram:
                bins[bisect_left(edges, upper)] += count
        return bins


class LatencyPair(NamedTuple):
    """Both versions in one stratum of an open block."""

    canary: LatencySide = LatencySide()
    stable: LatencySide = LatencySide()

    def merged(self) -> "LatencyPair":
        """The same, with one histogram a side."""
        return LatencyPair(self.canary.merged(), self.stable.merged())


class LatencyBlock(NamedTuple):
    """An open block of both versions' latency, open since `since` (seconds of observation), apart by
    stratum as in `Block`."""

    since: float = 0.0
    strata: tuple[tuple[str, LatencyPair], ...] = ()

    @property
    def canary(self) -> LatencySide:
        """The canary in all strata together."""
        return _together([pair.canary for _, pair in self.strata])

    @property
    def stable(self) -> LatencySide:
        """Stable in all strata together."""
        return _together([pair.stable for _, pair in self.strata])

    def comparable(self, weight: int) -> list[tuple[str, LatencyPair]]:
        """The strata in which both versions were timed, or the canary at full weight."""
        full = weight >= TOTAL_WEIGHT
        return [(name, pair) for name, pair in self.strata if pair.canary.timed and (full or pair.stable.timed)]

    def closes(self, weight: int, time: float) -> bool:
        """Whether both sides can be compared. The rule uses sizes and the clock alone."""
        if time - self.since < PACE - MOMENT or not self.comparable(weight):
            return False
        return weight >= TOTAL_WEIGHT or self._timed() >= block_size(weight)

    def merged(self) -> "LatencyBlock":
        """The same, with one histogram a side."""
        return LatencyBlock(self.since, tuple([(name, pair.merged()) for name, pair in self.strata]))

    def stale(self, weight: int) -> bool:
        """Whether it has waited for one side for too long and must start again."""
        waits = weight < TOTAL_WEIGHT and not self.comparable(weight)
        return waits and self._timed() >= TOO_MANY * block_size(weight)

    @property
    def alone(self) -> bool:
        """Whether stable has too little traffic to compare with."""
        return self.stable.timed * ALONE < self.canary.timed

    def _timed(self) -> int:
        return sum([pair.canary.timed + pair.stable.timed for _, pair in self.strata])


def _together(sides: Sequence[LatencySide]) -> LatencySide:
    if len(sides) == 1:
        return sides[0]
    return LatencySide(
        answered=sum([side.answered for side in sides]),
        errors=sum([side.errors for side in sides]),
        timed=sum([side.timed for side in sides]),
        histograms=tuple([histogram for side in sides for histogram in side.histograms]),
    )


def with_errors(side: LatencySide, bins: Sequence[int], *, slowest: bool) -> list[int]:
    """The bins with the errors in the last one, added where the histogram lacks them.

    Errors that the histogram holds are taken from the slowest responses if `slowest`, else from the
    fastest.
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
    """How many responses lie above each edge between the bins."""
    above, out = 0, []
    for count in reversed(bins[1:]):
        above += count
        out.append(above)
    return out[::-1]
