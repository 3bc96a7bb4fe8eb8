"""How far stable's failures come in clusters: the design effect by which bets on errors are tempered.

A pod that is out, one client that retries, a dependency that stumbles: failures seldom come one by
one. A bet takes requests for independent, so it would take a cluster for as many events as it has
requests. The design effect (Kish, "Survey Sampling", 1965) says by how much the variance of a rate
is larger than that of independent requests. An e-value to the power of 1/phi, phi >= 1, is an
e-value still (Jensen), so tempering never breaks the bound on false rollbacks; where failures are
independent phi is 1 and costs nothing.
"""

from typing import NamedTuple

from controller.core.judge.baseline import LASTING

GROUP, SCALES = 4, 4
"""So many blocks are a group, so many groups a group of groups, and so on at every scale: clusters
last for a second or for a minute."""
PRIOR_SIZE = 500.0
"""Independent requests, for each block of a group, that are believed before anything is known."""
PRIOR_BLOCKS = 5.0
"""Likewise, and at least so many groups of stable's size: a few large ones are few all the same."""


class Clustering(NamedTuple):
    """Successive differences of stable's rate at one scale.

    `n`, `events`, `seconds` and `parts` are of the group that is being filled for the next scale,
    `before_n` and `before_events` of what came last at this one. `excess` sums the variance beyond
    that of independent requests, `weight` what it would be if all requests of a group shared one
    fate; each difference counts by its size, so that one failure in a small group is not
    taken for a cluster. `correlation` is that of two requests of one group, at least 0, shrunk while little is
    known.
    """

    n: float = 0.0
    events: float = 0.0
    seconds: float = 0.0
    parts: int = 0
    before_n: float = 0.0
    before_events: float = 0.0
    excess: float = 0.0
    weight: float = 0.0
    correlation: float = 0.0

    def after(self, size: int, n: float, events: float, seconds: float, variance: float) -> "Clustering":
        """With a group of `size` blocks, `seconds` after the one before. A full group starts again."""
        group_n, group_events, group_seconds, parts, before_n, before_events, excess, weight, correlation = self
        if parts == GROUP:
            group_n = group_events = group_seconds = parts = 0
        if before_n and n:
            keep, inverse = 0.5 ** (seconds / LASTING), 1 / n + 1 / before_n
            difference = events / n - before_events / before_n
            excess = excess * keep + (difference * difference / inverse - variance) / inverse
            weight = weight * keep + variance * (2 - inverse) / inverse / inverse
            prior = variance * max(PRIOR_SIZE * size, PRIOR_BLOCKS * n) / inverse
            correlation = min(1.0, excess / (weight + prior)) if excess > 0 and prior else 0.0
        group = (group_n + n, group_events + events, group_seconds + seconds, parts + 1)
        return Clustering(*group, n, events, excess, weight, correlation)


class DesignEffect(NamedTuple):
    """The clustering of stable's events at every scale, the finest first."""

    scales: tuple[Clustering, ...] = (Clustering(),) * SCALES

    def after(self, n: float, events: float, seconds: float, rate: float) -> "DesignEffect":
        """With a block of stable's (n > 0), `seconds` after the one before; `rate` is its baseline."""
        scales, variance, size = list(self.scales), rate * (1 - rate), 1
        for i, scale in enumerate(scales):
            scales[i] = grown = scale.after(size, n, events, seconds, variance)
            if grown.parts < GROUP:
                break
            n, events, seconds, size = grown.n, grown.events, grown.seconds, size * GROUP
        return DesignEffect(tuple(scales))

    def interrupted(self) -> "DesignEffect":
        """Without the open groups: what an incident does to the rate is not clustering."""
        kept = [Clustering(excess=s.excess, weight=s.weight, correlation=s.correlation) for s in self.scales]
        return DesignEffect(tuple(kept))

    def of(self, canary_n: float, stable_n: float) -> float:
        """The design effect, at least 1, of a comparison of blocks of these sizes, at the scale where
        it is largest."""
        largest, size = 1.0, 1
        for *_, correlation in self.scales:
            if correlation > 0 and canary_n * size >= 1 and stable_n * size >= 1:
                inverse = (1 / canary_n + 1 / stable_n) / size
                largest = max(largest, 1 + correlation * (2 - inverse) / inverse)
            size *= GROUP
        return largest
