"""Tells apart the three meanings of no data: no traffic, traffic that does not arrive, and no
reports."""

from math import log, log1p, sqrt
from typing import NamedTuple

from controller.core.base.units import TOTAL_WEIGHT

BLIND_AFTER = 5.0
"""Seconds without a report after which time no longer counts as observed."""
CALM = 5.0
"""Seconds until things have settled: after a change of weight, which proxies may serve later, after
an incident of stable's, and after a late report."""
IMPOSSIBLE = log(1e-6)
"""The log-probability below which 'none of these requests went to the canary' is no accident."""
UNUSUAL = 10
"""The silence must be this many times longer than any before it."""
QUIET = 30.0
"""Seconds without a request that are no accident: of either version, and there is no traffic; of the
canary alone, and none arrives. A request counts half after as long."""
LEAST_FOR_SHARE = 200.0
"""Requests, decayed, below which the canary's share says nothing."""
SHARE_SIGMA, SHARE_ODDS = 6.0, 2.0
"""The canary's share is wrong when its odds differ by this factor, and that is so many standard
deviations."""


class Arrivals(NamedTuple):
    """Requests of each version since the weight settled (decaying), and the canary's present
    silence.

    `weight` is the canary's, in basis points, since the time `since`. `canary` and `stable` are the
    decaying counts.
    """

    weight: int = 0
    since: float = 0.0
    canary: float = 0.0
    stable: float = 0.0
    missed: int = 0
    """Requests of stable since the canary's last one, or since the weight settled."""
    silent_since: float = 0.0
    last_request: float = 0.0
    """When either version last had a request."""
    canary_had_requests: bool = False
    """Whether the canary has ever had a request."""
    longest_silence: int = 0
    """The canary's longest silence, measured in requests of stable."""

    def after(self, time: float, seconds: float, weight: int, canary: int | None, stable: int | None) -> "Arrivals":
        """With the requests of one tick; None for a version without a report. `seconds` is the
        tick's length."""
        if weight != self.weight:
            changed = self._replace(weight=weight, since=time, canary=0.0, stable=0.0, missed=0, silent_since=time)
            return changed.after(time, seconds, weight, canary, stable)
        last_request = time if (canary or stable) else self.last_request
        canary_had_requests = self.canary_had_requests or bool(canary)
        if time - self.since < CALM:
            return Arrivals(
                weight=weight,
                since=self.since,
                silent_since=time,
                last_request=last_request,
                canary_had_requests=canary_had_requests,
                longest_silence=self.longest_silence,
            )
        if canary is None or stable is None:
            return self._replace(last_request=last_request, canary_had_requests=canary_had_requests)
        keep = 0.5 ** (seconds / QUIET)
        missed, silent_since, longest_silence = self.missed + stable, self.silent_since, self.longest_silence
        if canary:
            missed, silent_since, longest_silence = 0, time, max(longest_silence, missed - stable)
        of_canary, of_stable = self.canary * keep + canary, self.stable * keep + stable
        # By position: by name it would cost twice as much, at every tick.
        return Arrivals(
            weight,
            self.since,
            of_canary,
            of_stable,
            missed,
            silent_since,
            last_request,
            canary_had_requests,
            longest_silence,
        )

    def none_arrive(self, time: float) -> bool:
        """Whether the canary gets nothing although its weight says that it must.

        Users that stick to a version come in bursts, so the silence must also be much longer than
        any before it.
        """
        if not 0 < self.weight < TOTAL_WEIGHT or time - self.silent_since < QUIET:
            return False
        if self.missed < UNUSUAL * self.longest_silence:
            return False
        return self.missed * log1p(-self.weight / TOTAL_WEIGHT) < IMPOSSIBLE

    def no_traffic(self, time: float) -> bool:
        """Whether neither version has had a request for a while."""
        return time - self.last_request >= QUIET

    @property
    def share(self) -> float | None:
        """The canary's actual share of the requests, if it clearly differs from its weight; else
        None."""
        n = self.canary + self.stable
        expected = self.weight / TOTAL_WEIGHT
        if n < LEAST_FOR_SHARE or not 0 < expected < 1:
            return None
        odds, wanted = self.canary * (1 - expected), self.stable * expected
        if wanted / SHARE_ODDS <= odds <= wanted * SHARE_ODDS:
            return None
        deviations = abs(self.canary - n * expected) / sqrt(n * expected * (1 - expected))
        return self.canary / n if deviations >= SHARE_SIGMA else None
