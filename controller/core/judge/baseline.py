"""Stable's running error rate: the estimate that bets are made with, a baseline, and whether stable
has an incident."""

from math import sqrt
from typing import NamedTuple

HALF_LIFE, HALF_LIFE_COUNT = 120.0, 1000.0
"""Seconds, or requests where that is longer, after which an observation counts half."""
LASTING = 1800.0
"""Seconds after which what has lasted is usual: an incident's rate becomes the baseline, which stands
still until then, and of the past half is forgotten."""
FAST, FAST_COUNT = 3.0, 60.0
"""Half-life in seconds or requests of the fast average, which notices an incident."""
PRIOR_EVENTS, PRIOR = 0.5, 250.0
"""The prior: a rate of 0.2 %, with the weight of 250 requests."""
INCIDENT_RATIO, INCIDENT_POINTS = 3.0, 0.02
"""Stable has an incident above this many times its baseline, and above the baseline plus this
share."""


class Baseline(NamedTuple):
    """Counts of one kind of event on stable.

    `n` and `x` are requests and events that decay slowly, `fast_n` and `fast_x` those that decay
    fast, `all_n` and `all_x` all that ever were, incidents included. `incident_seconds` is how long
    the present incident has lasted.
    """

    n: float = 0.0
    x: float = 0.0
    fast_n: float = 0.0
    fast_x: float = 0.0
    incident_seconds: float = 0.0
    all_n: float = 0.0
    all_x: float = 0.0

    def after(self, n: float, x: float, seconds: float, *, incident: bool) -> "Baseline":
        """With n more requests and x more events, `seconds` later. During an incident the slow
        average stands still."""
        fast = 0.5 ** min(seconds / FAST, n / FAST_COUNT)
        slow_n, slow_x, incident_seconds = self.n, self.x, 0.0
        if incident:
            incident_seconds = self.incident_seconds + seconds
        if incident_seconds >= LASTING or not incident:
            slow = 0.5 ** min(seconds / HALF_LIFE, n / HALF_LIFE_COUNT)
            slow_n, slow_x = slow_n * slow + n, slow_x * slow + x
        fast_n, fast_x = self.fast_n * fast + n, self.fast_x * fast + x
        all_n, all_x = self.all_n + n, self.all_x + x
        # By position: by name it would cost twice as much, at every tick.
        return Baseline(slow_n, slow_x, fast_n, fast_x, incident_seconds, all_n, all_x)

    @property
    def rate(self) -> float:
        """The baseline: the slow average with its prior."""
        return (self.x + PRIOR_EVENTS) / (self.n + PRIOR)

    @property
    def observed_rate(self) -> float:
        """The baseline without its prior, as it is shown to people; 0 before the first request."""
        return self.x / self.n if self.n else 0.0

    @property
    def upper_bound(self) -> float:
        """What is usual, on the safe side: the baseline or the plain mean, and two standard errors
        more."""
        usual = max(self.rate, (self.all_x + PRIOR_EVENTS) / (self.all_n + PRIOR))
        return usual + 2 * sqrt(usual / (self.all_n + PRIOR))

    @property
    def estimate(self) -> float:
        """The best estimate of the present rate: the baseline, or what the fast average surely
        exceeds it by."""
        rate = self.rate
        sure = self.fast_x - 3 * sqrt(self.fast_x)
        return sure / self.fast_n if sure > rate * self.fast_n else rate

    @property
    def in_incident(self) -> bool:
        """Whether stable is clearly worse than its own baseline.

        This needs no error control: it only keeps the canary from going forward.
        """
        sure = self.fast_x - 2 * sqrt(self.fast_x)
        if sure <= 0:
            return False
        rate = self.rate
        return sure > self.fast_n * max(INCIDENT_RATIO * rate, rate + INCIDENT_POINTS)
