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
RAISED_RATIO, RAISED_POINTS, RAISED_LEAST = 1.1, 0.003, 8.0
"""A spell of more errors than usual: above this many times the usual rate and so much, and at least so many of them."""
INCIDENT_RATIO, INCIDENT_POINTS = 3.0, 0.02
"""Stable is in trouble above this many times its baseline, and this much above it."""


class Rate(NamedTuple):
    """Decaying counts of one kind of event on one version, slow and fast; and for how long it has been in trouble.

    `spell` is for how long the fast average has been raised, `longest` the longest that it ever was, `peak` how high.
    """

    n: float = 0.0
    x: float = 0.0
    fast_n: float = 0.0
    fast_x: float = 0.0
    troubled_for: float = 0.0
    spell: float = 0.0
    longest: float = 0.0
    peak: float = 0.0

    def after(self, n: float, x: float, seconds: float, *, incident: bool, usual: float | None = None) -> "Rate":
        """With n more requests and x more events, `seconds` later. `usual` is what is usual, if not the baseline."""
        slow_n, slow_x, fast_n, fast_x, troubled_for, spell, longest, peak = self
        usual = (slow_x + PRIOR_EVENTS) / (slow_n + PRIOR) if usual is None else usual
        fast = 0.5 ** min(seconds / FAST, n / FAST_COUNT)
        fast_n, fast_x = fast_n * fast + n, fast_x * fast + x
        if fast_x >= RAISED_LEAST and fast_x > fast_n * (RAISED_RATIO * usual + RAISED_POINTS):
            spell += seconds
            longest, peak = max(longest, spell), max(peak, fast_x / fast_n)
        else:
            spell = 0.0
        troubled_for = troubled_for + seconds if incident else 0.0
        if not incident or troubled_for >= ACCEPTED:
            slow = 0.5 ** min(seconds / HALF_LIFE, n / HALF_LIFE_COUNT)
            slow_n, slow_x = slow_n * slow + n, slow_x * slow + x
        return Rate(slow_n, slow_x, fast_n, fast_x, troubled_for, spell, longest, peak)

    @property
    def baseline(self) -> float:
        """The slow average."""
        return (self.x + PRIOR_EVENTS) / (self.n + PRIOR)

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
