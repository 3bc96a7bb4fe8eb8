"""How far stable's failures come in clusters: the design effect by which bets on errors are tempered.

A pod that is out, one client that retries, a dependency that stumbles: failures seldom come one by
one. A bet takes requests for independent, so it would take a cluster for as many events as it has
requests. The design effect (Kish, "Survey Sampling", 1965) says by how much the variance of a rate
is larger than that of independent requests. An e-value to the power of 1/phi, phi >= 1, is an
e-value still (Jensen), so tempering never breaks the bound on false rollbacks; where failures are
independent phi is 1 and costs nothing.
"""

from typing import NamedTuple

SCALES = (1, 4, 16, 64)
"""Blocks that are taken together: clusters last for a second or for a minute."""
HALF_LIFE = 1800.0
"""Seconds after which a difference counts half."""
PRIOR_SIZE = 500.0
"""Independent requests, for each block of a scale, that are believed before anything is known."""
PRIOR_BLOCKS = 5.0
"""Likewise, and at least so many blocks of stable's size: a few large blocks are few all the same."""


class Clustering(NamedTuple):
    """Successive differences of stable's rate at one scale.

    `n`, `events` and `blocks` are of the group of blocks that is being filled, `before_n` and
    `before_events` of the one before. `excess` sums the variance beyond that of independent
    requests, `weight` what it would be if all requests of a group shared one fate.
    """

    n: float = 0.0
    events: float = 0.0
    blocks: int = 0
    before_n: float = 0.0
    before_events: float = 0.0
    excess: float = 0.0
    weight: float = 0.0

    def after(self, size: int, n: float, events: float, keep: float, variance: float) -> "Clustering":
        """With a block; `size` blocks are a group, `keep` is the decay since the block before."""
        group_n, group_events, blocks = self.n + n, self.events + events, self.blocks + 1
        excess, weight = self.excess * keep, self.weight * keep
        if blocks < size:
            return Clustering(group_n, group_events, blocks, self.before_n, self.before_events, excess, weight)
        if self.before_n and group_n:
            inverse = 1 / group_n + 1 / self.before_n
            difference = group_events / group_n - self.before_events / self.before_n
            excess += difference * difference / inverse - variance
            weight += variance * (2 - inverse) / inverse
        return Clustering(0.0, 0.0, 0, group_n, group_events, excess, weight)


class DesignEffect(NamedTuple):
    """The clustering of stable's events at every scale."""

    scales: tuple[Clustering, ...] = (Clustering(),) * len(SCALES)

    def after(self, n: float, events: float, seconds: float, rate: float) -> "DesignEffect":
        """With a block of stable's, `seconds` after the one before; `rate` is stable's baseline."""
        variance, keep = rate * (1 - rate), 0.5 ** (seconds / HALF_LIFE)
        grown = [each.after(size, n, events, keep, variance) for size, each in zip(SCALES, self.scales, strict=True)]
        return DesignEffect(tuple(grown))

    def interrupted(self) -> "DesignEffect":
        """Without the open groups: what an incident does to the rate is not clustering."""
        return DesignEffect(tuple([Clustering(excess=each.excess, weight=each.weight) for each in self.scales]))

    def of(self, canary_n: float, stable_n: float, rate: float) -> float:
        """The design effect, at least 1, of a comparison of blocks of these sizes.

        Taken at the scale where it is largest. `rate` is stable's baseline.
        """
        largest, variance = 1.0, rate * (1 - rate)
        prior = variance * max(PRIOR_SIZE, PRIOR_BLOCKS * stable_n)
        for size, each in zip(SCALES, self.scales, strict=True):
            c, s = canary_n * size, stable_n * size
            if each.excess > 0 and c >= 1 and s >= 1 and prior:
                correlation = min(1.0, each.excess / (each.weight + prior * size))
                inverse = 1 / c + 1 / s
                largest = max(largest, 1 + correlation * (2 - inverse) / inverse)
        return largest
