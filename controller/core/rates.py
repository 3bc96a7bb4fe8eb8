"""Stable's error rate as it runs: a guess for the bets, a baseline, and whether stable itself is in trouble."""

from math import sqrt
from typing import NamedTuple

HALF_LIFE, HALF_LIFE_COUNT = 120.0, 1000.0
"""Seconds, or requests where that is longer, after which what was seen counts half."""
HALF_LIFE_INCIDENT = 1200.0
"""Seconds likewise while stable is in trouble: an incident is not the new baseline, unless it never ends."""
FAST, FAST_COUNT = 3.0, 60.0
"""Seconds or requests, for the fast average that notices an incident."""
PRIOR_EVENTS, PRIOR = 0.5, 250.0
"""What is believed before anything was seen: 0.2 %, worth 250 requests."""
INCIDENT_RATIO, INCIDENT_POINTS = 3.0, 0.02
"""Stable is in trouble above this many times its baseline, and this much above it."""


class Rate(NamedTuple):
    """Decaying counts of one kind of event on stable, slow and fast."""

    n: float = 0.0
    x: float = 0.0
    fast_n: float = 0.0
    fast_x: float = 0.0

    def after(self, n: float, x: float, seconds: float, *, incident: bool) -> "Rate":
        """With n more requests and x more events, `seconds` later."""
        slow = 0.5 ** min(seconds / (HALF_LIFE_INCIDENT if incident else HALF_LIFE), n / HALF_LIFE_COUNT)
        fast = 0.5 ** min(seconds / FAST, n / FAST_COUNT)
        gain = slow if not incident else slow * HALF_LIFE / HALF_LIFE_INCIDENT
        return Rate(self.n * slow + n * gain, self.x * slow + x * gain, self.fast_n * fast + n, self.fast_x * fast + x)

    @property
    def baseline(self) -> float:
        """The slow average."""
        return (self.x + PRIOR_EVENTS) / (self.n + PRIOR)

    @property
    def guess(self) -> float:
        """The best guess of the present rate: the baseline, or what the fast average surely exceeds it by."""
        sure = self.fast_x - 3 * sqrt(self.fast_x)
        return max(self.baseline, sure / self.fast_n) if sure > 0 else self.baseline

    @property
    def troubled(self) -> bool:
        """Whether stable is clearly worse than its own baseline. Needs no error control: it only holds gates."""
        sure = self.fast_x - 2 * sqrt(self.fast_x)
        if sure <= 0:
            return False
        baseline = self.baseline
        return sure > self.fast_n * max(INCIDENT_RATIO * baseline, baseline + INCIDENT_POINTS)
