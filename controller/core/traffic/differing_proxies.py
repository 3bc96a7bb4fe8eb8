"""Proxies whose requests to a canary fail unlike those of all others: broken, or in another place, or lying."""

from collections.abc import Mapping
from math import sqrt
from statistics import median
from typing import NamedTuple

LEAST_PROXIES = 3
"""Fewer have no majority that one could differ from."""
LEAST_REQUESTS = 100
"""Requests of a proxy below which its share of failures says little."""
LEAST_DIFFERENCE = 0.1
"""The difference of two shares that matters here: a network that is a little worse is no reason to doubt a proxy."""
LEAST_DEVIATIONS = 6.0
"""Standard deviations of a share. Failures come in clusters, so fewer would name proxies by chance."""


class ReportedTotal(NamedTuple):
    """Requests that ended, and how many of them failed by the server's fault, as load reports count them."""

    requests: int = 0
    failed: int = 0

    def plus(self, requests: int, failed: int) -> "ReportedTotal":
        """The sum."""
        return ReportedTotal(self.requests + requests, self.failed + failed)


def differing_proxies(totals: Mapping[str, ReportedTotal]) -> tuple[str, ...]:
    """The proxies whose share of failed requests is far from the median of all proxies' shares.

    The median, and not the share of all requests: that is what one proxy's volume can make of it.
    """
    shares = {name: total.failed / total.requests for name, total in totals.items() if total.requests >= LEAST_REQUESTS}
    if len(shares) < LEAST_PROXIES:
        return ()
    middle = median(shares.values())
    return tuple(sorted(name for name, share in shares.items() if _is_far(share, middle, totals[name].requests)))


def _is_far(share: float, middle: float, requests: int) -> bool:
    """By the standard deviation of a binomial share half-way between the two."""
    difference, half_way = abs(share - middle), (share + middle) / 2
    deviation = sqrt(half_way * (1 - half_way) / requests)
    return difference >= LEAST_DIFFERENCE and difference >= LEAST_DEVIATIONS * deviation
