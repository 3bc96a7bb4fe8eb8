"""Stable's error rate as it runs: a guess for the bets, a baseline, and whether stable itself is in trouble."""

from math import sqrt
from typing import NamedTuple

HALF_LIFE, HALF_LIFE_COUNT = 120.0, 1000.0
"""Seconds, or requests where that is longer, after which what was seen counts half."""
ACCEPTED = 1800.0
"""Seconds of trouble after which it is what one has to expect: the baseline stands still until then."""
FAST, FAST_COUNT = 3.0, 60.0
"""Seconds or requests, for the fast average that notices an incident."""
PRIOR_EVENTS, PRIOR = 0.5, 250.0
"""What is believed before anything was seen: 0.2 %, worth 250 requests."""
INCIDENT_RATIO, INCIDENT_POINTS = 3.0, 0.02
"""Stable is in trouble above this many times its baseline, and this much above it."""


class Rate(NamedTuple):
    """Decaying counts of one kind of event on stable, slow and fast; for how long stable has been in trouble; and all
    that there ever was, trouble included."""

    n: float = 0.0
    x: float = 0.0
    fast_n: float = 0.0
    fast_x: float = 0.0
    troubled_for: float = 0.0
    all_n: float = 0.0
    all_x: float = 0.0

    def after(self, n: float, x: float, seconds: float, *, incident: bool) -> "Rate":
        """With n more requests and x more events, `seconds` later."""
        slow_n, slow_x, fast_n, fast_x, troubled_for, all_n, all_x = self
        all_n, all_x = all_n + n, all_x + x
        fast = 0.5 ** min(seconds / FAST, n / FAST_COUNT)
        fast_n, fast_x = fast_n * fast + n, fast_x * fast + x
        if incident:
            troubled_for += seconds
            if troubled_for < ACCEPTED:
                return Rate(slow_n, slow_x, fast_n, fast_x, troubled_for, all_n, all_x)
        slow = 0.5 ** min(seconds / HALF_LIFE, n / HALF_LIFE_COUNT)
        slow_n, slow_x = slow_n * slow + n, slow_x * slow + x
        return Rate(slow_n, slow_x, fast_n, fast_x, troubled_for if incident else 0.0, all_n, all_x)

    @property
    def baseline(self) -> float:
        """The slow average."""
        return (self.x + PRIOR_EVENTS) / (self.n + PRIOR)

    @property
    def seen(self) -> float:
        """The baseline as people are told it: what was seen, without what was believed before."""
        return self.x / self.n if self.n else 0.0

    @property
    def at_most(self) -> float:
        """What it is as a rule, on the safe side: the baseline or the plain mean, and two standard errors more."""
        usual = max(self.baseline, (self.all_x + PRIOR_EVENTS) / (self.all_n + PRIOR))
        return usual + 2 * sqrt(usual / (self.all_n + PRIOR))

    @property
    def guess(self) -> float:
        """The best guess of the present rate: the baseline, or what the fast average surely exceeds it by."""
        baseline = self.baseline
        sure = self.fast_x - 3 * sqrt(self.fast_x)
        return sure / self.fast_n if sure > baseline * self.fast_n else baseline

    @property
    def troubled(self) -> bool:
        """Whether stable is clearly worse than its own baseline. Needs no error control: it only holds gates."""
        sure = self.fast_x - 2 * sqrt(self.fast_x)
        if sure <= 0:
            return False
        baseline = self.baseline
        return sure > self.fast_n * max(INCIDENT_RATIO * baseline, baseline + INCIDENT_POINTS)
