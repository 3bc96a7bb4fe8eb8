"""No data is three different things: no traffic, traffic that does not arrive, and no reports. This tells which."""

from math import log, log1p, sqrt
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT

SETTLING = 5.0
"""Seconds after a change of weight in which proxies may still serve the weight before."""
IMPOSSIBLE = log(1e-6)
"""The log-probability below which 'none of these requests went to the canary' is no accident."""
SUSTAINED = 30.0
"""Seconds that the canary must be without requests, beyond that."""
UNUSUAL = 10
"""How many times longer than any before it the silence must be."""
QUIET = 30.0
"""Seconds without any request after which it is said that there is no traffic."""
LEAST_FOR_SHARE = 200.0
SHARE_SIGMA, SHARE_ODDS = 6.0, 2.0
"""The canary's share is wrong when its odds differ by this factor, and that is so many standard deviations."""
HALF_LIFE = 30.0


class Arrivals(NamedTuple):
    """Requests by side since the weight was changed and settled (decaying), and the present silence of the canary."""

    weight: int = 0
    since: float = 0.0
    canary: float = 0.0
    stable: float = 0.0
    missed: int = 0
    """Requests of stable since the canary's last one, or since the weight settled."""
    silent_since: float = 0.0
    any_at: float = 0.0
    """When there was last a request at all."""
    ever: bool = False
    """Whether the canary has ever had a request."""
    longest: int = 0
    """The most requests that stable ever had between two of the canary's."""

    def after(self, time: float, seconds: float, weight: int, canary: int | None, stable: int | None) -> "Arrivals":
        """With the requests started in a tick; None where a side was not reported."""
        if weight != self.weight:
            anew = Arrivals(weight, time, 0.0, 0.0, 0, time, self.any_at, self.ever, self.longest)
            return anew.after(time, seconds, weight, canary, stable)
        any_at = time if (canary or stable) else self.any_at
        ever = self.ever or bool(canary)
        if time - self.since < SETTLING:
            return Arrivals(weight, self.since, 0.0, 0.0, 0, time, any_at, ever, self.longest)
        if canary is None or stable is None:
            return self._replace(any_at=any_at, ever=ever)
        keep = 0.5 ** (seconds / HALF_LIFE)
        missed, silent_since, longest = self.missed + stable, self.silent_since, self.longest
        if canary:
            missed, silent_since, longest = 0, time, max(longest, missed - stable)
        shares = self.canary * keep + canary, self.stable * keep + stable
        return Arrivals(weight, self.since, *shares, missed, silent_since, any_at, ever, longest)

    def none_arrive(self, time: float) -> bool:
        """Whether the canary gets nothing although its weight says that it must. Users that stick to a version come in
        bursts, so the silence must also be much longer than any before."""
        if not 0 < self.weight < TOTAL_WEIGHT or time - self.silent_since < SUSTAINED:
            return False
        if self.missed < UNUSUAL * self.longest:
            return False
        return self.missed * log1p(-self.weight / TOTAL_WEIGHT) < IMPOSSIBLE

    def no_traffic(self, time: float) -> bool:
        """Whether nobody has asked anything for a while."""
        return time - self.any_at >= QUIET

    @property
    def share(self) -> float | None:
        """The canary's real share, if it is clearly another than its weight."""
        n = self.canary + self.stable
        expected = self.weight / TOTAL_WEIGHT
        if n < LEAST_FOR_SHARE or not 0 < expected < 1:
            return None
        off = abs(self.canary - n * expected) / sqrt(n * expected * (1 - expected))
        odds, wanted = self.canary * (1 - expected), self.stable * expected
        if off < SHARE_SIGMA or wanted / SHARE_ODDS <= odds <= wanted * SHARE_ODDS:
            return None
        return self.canary / n
