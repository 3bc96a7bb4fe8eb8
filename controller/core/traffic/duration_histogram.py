"""Latency buckets as a histogram for Prometheus: cumulative, in seconds, at few of the fine edges."""

from itertools import accumulate
from typing import NamedTuple

from controller.core.traffic.latency_buckets import EDGES_MS, UPPER, BucketCounts, bucket_of

LAST_MS = EDGES_MS[-1]

EDGES = (
    *(0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5),
    *(1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0),
)
"""Seconds. Each is one of the fine edges, which are Envoy's own: no count is interpolated. Few, since each is a series
for each version: a quantile is then known to within a factor of two, and `haldane get` has it to a tenth."""

_FINE = tuple(bucket_of(edge * 1000) for edge in EDGES)
"""For each edge, the fine bucket that ends there."""


class DurationHistogram(NamedTuple):
    """Responses by how long they took."""

    below: tuple[int, ...]
    """For each of `EDGES`, the responses that took at most so long."""
    responses: int
    seconds: float
    """In all. Estimated from the middles of the fine buckets, as Envoy's own sums are: within 5 % above 10 ms.
    What took longer than the last edge counts as that."""


def duration_histogram(counts: BucketCounts) -> DurationHistogram:
    """The histogram of those fine buckets."""
    cumulative = list(accumulate(counts.get(number, 0) for number in range(len(UPPER))))
    total = sum(count * _middle(number) for number, count in counts.items())
    return DurationHistogram(tuple(cumulative[fine] for fine in _FINE), cumulative[-1], total / 1000)


def _middle(number: int) -> float:
    """The middle of a fine bucket, in milliseconds."""
    if number >= len(EDGES_MS):
        return LAST_MS
    return (EDGES_MS[number] + (EDGES_MS[number - 1] if number else 0.0)) / 2
