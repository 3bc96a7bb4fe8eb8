"""Where latency is cut: stable's running quantiles, and the same shifted by what the canary may be
slower.

Thresholds are quantiles of stable's past, and stand still while a block is open: a threshold that
moved with the block's own outcomes would break the proof.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, repeat
from math import inf
from typing import NamedTuple

from controller.core.judge.channels import QUANTILES
from controller.core.judge.latency_block import MEDIAN, TAIL, LatencySide

HALF_LIFE = 70.0
"""Seconds after which a response counts half in stable's running histogram."""
FEWEST = 50.0
"""Responses of stable before its quantiles are believed."""
REFRESH = 20.0
"""Seconds that thresholds stand at least."""
ABOUT = 0.07
"""How far from its quantile an edge may be, as a share of the responses."""
NEARBY = 3
"""How many edges away it may be."""
ROUNDED = 0.01
"""Edges are rounded numbers: 7.9 stands for 7.2 and 10 % more."""


class Thresholds(NamedTuple):
    """Where latency is cut, in milliseconds, since the time `since`.

    `stable` are stable's quantiles, `canary` the same slower by the tolerance, `tail_proof` the
    canary's in the non-inferiority test of the p99, `limit` the policy's absolute limit. `exceeded`
    is the share of responses by which stable has exceeded each of its quantiles so far,
    `first_over_limit` the limit. `scores` are the ranks in the middle of the bins, 0 to 1: the whole
    distribution in one number.
    """

    since: float
    stable: tuple[float, ...]
    canary: tuple[float, ...]
    tail_proof: float
    limit: float
    exceeded: tuple[float, ...]
    first_over_limit: float
    scores: tuple[float, ...]

    @property
    def median_proof(self) -> float:
        """The canary's threshold in the non-inferiority test of the p50: the one for harm."""
        return self.canary[MEDIAN]


class Slowdown(NamedTuple):
    """What the canary is allowed: slower by the factor `factor`, by `tail` in the non-inferiority
    test of the p99, and never above `limit_ms` (infinite without a limit)."""

    factor: float
    tail: float
    limit_ms: float


class StableLatency(NamedTuple):
    """Stable's running histogram, up to the time `at`.

    Counts are inflated instead of decayed: what comes later weighs more (`weight`), so a block
    touches only the buckets that it brings. `counts` is by upper edge in milliseconds.
    """

    at: float = 0.0
    weight: float = 1.0
    total: float = 0.0
    counts: Mapping[float, float] = {}

    def after(self, stable: LatencySide, time: float) -> "StableLatency":
        """With stable's responses up to `time`."""
        counts = dict(self.counts)
        weight, total = self.weight * 2.0 ** ((time - self.at) / HALF_LIFE), self.total
        total += stable.timed * weight
        for histogram in stable.histograms:
            for edge, count in histogram:
                counts[edge] = counts.get(edge, 0.0) + count * weight
        if weight > 1e12:
            counts = {edge: count / weight for edge, count in counts.items()}
            total, weight = total / weight, 1.0
        return StableLatency(time, weight, total, counts)

    @property
    def enough(self) -> bool:
        """Whether there is enough to take quantiles from."""
        return self.total >= FEWEST * self.weight

    def thresholds(self, known_edges: Sequence[float], allowed: Slowdown, errors: float) -> Thresholds:
        """The thresholds for a canary that is allowed this slowdown.

        `known_edges` are all edges in milliseconds, also those that have not held a response.
        `errors` is the share of responses that are errors, and so infinitely slow.
        """
        counts, total, slower = self.counts, self.total, allowed.factor
        edges = sorted([*known_edges, *counts.keys() - set(known_edges)])
        reached = list(accumulate(map(counts.get, edges, repeat(0.0))))
        chosen = [_edge_at(edges, reached, total, quantile, slower) for quantile in QUANTILES]
        cuts = [edges[i] for i in chosen]
        limit = _edge_beyond(edges, allowed.limit_ms)
        first_over_limit = max(0.0, 1.0 - reached[bisect_left(edges, limit)] / total) if limit < inf else 0.0
        exceeded = tuple([min(0.98, max(0.0, 1.0 - reached[i] / total) + errors) for i in chosen])
        return Thresholds(
            since=self.at,
            stable=tuple(cuts),
            canary=tuple([_edge_beyond(edges, cut * slower) for cut in cuts]),
            tail_proof=_edge_beyond(edges, cuts[TAIL] * allowed.tail),
            limit=limit,
            exceeded=exceeded,
            first_over_limit=min(0.98, first_over_limit + errors),
            scores=tuple(
                [1 - (here + above) / 2 for here, above in zip((1.0, *exceeded), (*exceeded, 0.0), strict=True)]
            ),
        )


def _edge_at(edges: Sequence[float], reached: Sequence[float], total: float, quantile: float, slower: float) -> int:
    """The index of the edge that stands for a quantile.

    Of the edges near it this is the one whose shifted edge overshoots the tolerance least, of equal
    ones the nearest. Ranks need not be exact, but tails must not be exceeded more often. `reached`
    are cumulative counts, `total` is all of them.
    """
    wanted = 1 - quantile
    most, least = (wanted + ABOUT, wanted - ABOUT) if wanted > 2 * ABOUT else (wanted, wanted / 2)
    at = min(bisect_left(reached, quantile * total * (1 - 1e-12)), len(edges) - 1)
    first = max(at - NEARBY, bisect_left(reached, (1 - most) * total * (1 - 1e-12)))
    last = min(at + NEARBY, bisect_right(reached, (1 - least) * total), len(edges) - 1)
    best, nearest = inf, at
    for i in sorted(range(first, last), key=lambda i: abs(i - at)):
        overshoot = _edge_beyond(edges, edges[i] * slower) / edges[i]
        if overshoot < best:
            best, nearest = overshoot, i
    return nearest


def _edge_beyond(edges: Sequence[float], value: float) -> float:
    """The lowest edge that is not below the value, but for rounding; infinite if there is none."""
    at = bisect_left(edges, value * (1 - ROUNDED))
    return edges[at] if at < len(edges) else inf
