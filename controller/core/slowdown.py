"""Whether the canary is slower: latency as exceedances of stable's running quantiles.

To test a quantile is to test how often it is exceeded, so no density and no interpolation is needed. The canary's
answers are counted above thresholds that are higher by the tolerance: the null is that the canary is slower by no more
than that. Thresholds are stable's quantiles of the past, and stand still while a block is open: a threshold that moved
with the block's own outcomes would break the proof.

Errors count as infinitely slow. Envoy's histogram holds them among the answers, at places unknown; where it does not
(fewer entries than answers), they are added. For harm they are placed where they speak least for it: the canary's among
its slowest answers, stable's among its fastest. The bound is then valid wherever they were, and a canary that fails
fast cannot look faster than it would be if those answers had been its slowest.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf
from operator import add
from typing import NamedTuple

from controller.core.blocks import ALONE, TOO_MANY, needed
from controller.core.channels import QUANTILES
from controller.core.units import PARTS

HALF_LIFE = 70.0
"""Seconds after which an answer counts half in stable's running histogram."""
FEWEST = 50.0
"""Answers of stable before its quantiles are believed."""
REFRESH = 5.0
"""Seconds that thresholds stand at least."""
BINS = len(QUANTILES) + 1
EMPTY = (0,) * BINS
MEDIAN, TAIL = QUANTILES.index(0.50), QUANTILES.index(0.99)

Latency = Sequence[tuple[float, int]]


class Thresholds(NamedTuple):
    """Where latency is cut, in milliseconds: stable's edges, the canary's (slower by the tolerance), and its edges at
    the gates. `q` is how often stable exceeded its edges up to now; `over` how often the absolute limit."""

    stable: tuple[float, ...]
    canary: tuple[float, ...]
    gates: tuple[float, float]
    limit: float
    q: tuple[float, ...]
    over: float


class Pair(NamedTuple):
    """An open block: answers, errors and bins of each side; the canary's answers above the gates' and limit's edges."""

    n_c: int = 0
    errors_c: int = 0
    bins_c: tuple[int, ...] = EMPTY
    beyond: tuple[int, int, int] = (0, 0, 0)
    n_s: int = 0
    errors_s: int = 0
    bins_s: tuple[int, ...] = EMPTY

    def with_canary(self, answered: int, errors: int, latency: Latency, at: Thresholds) -> "Pair":
        """With the canary's answers."""
        bins = tuple(map(add, self.bins_c, binned(latency, at.canary)))
        edges = (*at.gates, at.limit)
        beyond = [sum([c for edge, c in latency if edge > limit]) for limit in edges]
        total = tuple(map(add, self.beyond, beyond))
        return self._replace(
            n_c=self.n_c + answered, errors_c=self.errors_c + errors, bins_c=bins, beyond=(total[0], total[1], total[2])
        )

    def with_stable(self, answered: int, errors: int, latency: Latency, at: Thresholds) -> "Pair":
        """With stable's answers."""
        bins = tuple(map(add, self.bins_s, binned(latency, at.stable)))
        return self._replace(n_s=self.n_s + answered, errors_s=self.errors_s + errors, bins_s=bins)

    def closes(self, weight: int) -> bool:
        """Whether both sides can be compared. Looks at sizes alone."""
        timed_c, timed_s = sum(self.bins_c), sum(self.bins_s)
        if weight >= PARTS:
            return timed_c >= 1
        return timed_c >= 1 and timed_s >= 1 and timed_c + timed_s >= needed(weight)

    @property
    def alone(self) -> bool:
        """Whether stable has too little traffic to compare with."""
        return sum(self.bins_s) * ALONE < sum(self.bins_c)

    def stale(self, weight: int) -> bool:
        """Whether it has waited for one side for too long."""
        timed_c, timed_s = sum(self.bins_c), sum(self.bins_s)
        return min(timed_c, timed_s) < 1 and timed_c + timed_s >= TOO_MANY * needed(weight)


def binned(latency: Latency, edges: Sequence[float]) -> list[int]:
    """Counts per bin; a bucket lies above an edge if its own upper edge does."""
    bins = [0] * BINS
    for edge, count in latency:
        bins[bisect_left(edges, edge)] += count
    return bins


def with_errors(bins: Sequence[int], answered: int, errors: int, *, slowest: bool) -> list[int]:
    """The bins with `errors` of the answers moved to the slowest bin, and added if the histogram lacks them.

    `slowest`: they are taken from the slowest answers, else from the fastest.
    """
    out = list(bins)
    if not errors:
        return out
    missing = min(errors, max(0, answered - sum(bins)))
    out[-1] += missing
    moving = min(errors - missing, sum(bins))
    out[-1] += moving
    for i in reversed(range(BINS)) if slowest else range(BINS):
        taken = min(out[i] if i < BINS - 1 else bins[-1], moving)
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
    """Stable's running histogram, and since when the thresholds stand. Counts are inflated instead of decayed: what
    comes later weighs more, so a tick touches only the buckets that it brings."""

    counts: dict[float, float]
    weight: float = 1.0
    total: float = 0.0
    refreshed: float = -inf

    def after(self, latency: Latency, seconds: float) -> "Past":
        """With stable's answers of a tick."""
        counts = self.counts.copy()
        weight = self.weight * 2.0 ** (seconds / HALF_LIFE)
        total = self.total
        for edge, count in latency:
            counts[edge] = counts.get(edge, 0.0) + count * weight
            total += count * weight
        if weight > 1e12:
            counts = {edge: count / weight for edge, count in counts.items()}
            total, weight = total / weight, 1.0
        return Past(counts, weight, total, self.refreshed)

    @property
    def enough(self) -> bool:
        """Whether there is enough to take quantiles from."""
        return self.total >= FEWEST * self.weight

    def thresholds(
        self, seen: Iterable[float], slower: float, at_gates: float, limit: float, errors: float
    ) -> Thresholds:
        """The cuts for a canary that may be slower by the factor `slower`; `limit` in milliseconds; `errors` is the
        share of answers that are errors, and so infinitely slow; `seen` are edges that may not have held an answer."""
        edges = sorted({*self.counts, *seen})
        above, reached = [], 0.0
        for edge in edges:
            reached += self.counts.get(edge, 0.0)
            above.append(max(0.0, 1.0 - reached / self.total))
        chosen = [_tightest(edges, above, quantile, slower) for quantile in QUANTILES]
        cuts = [edges[i] for i in chosen]
        q = tuple(min(0.98, above[i] + errors) for i in chosen)
        ceiling = _beyond(edges, limit)
        over = next((above[i] for i, edge in enumerate(edges) if edge >= ceiling), 0.0)
        return Thresholds(
            tuple(cuts),
            tuple(_beyond(edges, cut * slower) for cut in cuts),
            (_beyond(edges, cuts[MEDIAN] * at_gates), _beyond(edges, cuts[TAIL] * at_gates)),
            ceiling,
            q,
            min(0.98, over + errors),
        )


def _tightest(edges: Sequence[float], above: Sequence[float], quantile: float, slower: float) -> int:
    """The edge at the quantile, or the one beside it whose shifted edge overshoots the tolerance least."""
    at = next((i for i, share in enumerate(above) if share <= 1 - quantile + 1e-12), len(edges) - 1)
    beside = [i for i in (at, at - 1, at + 1) if 0 <= i < len(edges) - 1 and 0.0 < above[i] < 1.0]
    return min(beside, key=lambda i: _beyond(edges, edges[i] * slower) / edges[i], default=at)


def _beyond(edges: Sequence[float], value: float) -> float:
    """The lowest edge that is not below the value."""
    at = bisect_left(edges, value * (1 - 1e-9))
    return edges[at] if at < len(edges) else inf
