"""Latency as counts in fine buckets: the edges, and the quantiles that are shown to people."""

from bisect import bisect_left
from collections.abc import Mapping
from math import inf

_DECADE = (
    *(1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.2, 2.4, 2.6, 2.8),
    *(3.0, 3.3, 3.6, 3.9, 4.2, 4.6, 5.0, 5.5, 6.0, 6.6, 7.2, 7.9, 8.6, 9.4),
)
"""No step is above 1.1, so a slow-down of 10 % moves a request by a bucket at least. Two digits
each, since Envoy's own histogram keeps two: every edge is an edge of Envoy's too, and no count has
to be guessed by interpolation."""

_LEAST, _MOST = 0.5, 60_000.0

EDGES_MS = tuple(
    edge for power in range(-1, 5) for digits in _DECADE if _LEAST <= (edge := round(digits * 10.0**power, 2)) <= _MOST
)
"""The upper edges of the latency buckets, in milliseconds, rising; one more bucket holds what is
above the last."""

BUCKETS = len(EDGES_MS) + 1

UPPER = (*EDGES_MS, inf)
"""The upper edges of all buckets, in milliseconds, rising."""

BucketCounts = Mapping[int, int]
"""Bucket -> responses in it. Buckets without responses may be absent."""


def bucket_of(milliseconds: float) -> int:
    """The bucket with that upper edge, or else the next wider one; the last one holds what is above
    all edges."""
    return bisect_left(EDGES_MS, milliseconds)


def with_edges(counts: BucketCounts) -> tuple[tuple[float, int], ...]:
    """(upper edge in milliseconds, count) of every bucket that holds a response, rising."""
    return tuple([(UPPER[number], count) for number, count in sorted(counts.items()) if count])


def quantile(counts: BucketCounts, share: float) -> float:
    """The upper edge, in milliseconds, below which at least that share of the responses lies; 0.0
    without any."""
    wanted = share * sum(counts.values())
    reached = 0
    for number in sorted(counts):
        reached += counts[number]
        if reached and reached >= wanted:
            return EDGES_MS[min(number, len(EDGES_MS) - 1)]
    return 0.0
