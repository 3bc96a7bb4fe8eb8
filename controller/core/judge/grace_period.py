"""Grace periods: how long, and how badly, the canary may be worse in the bake before anything is
bet against it.

In the bake nothing runs beside the canary. It is compared with what stable was, so a fault that
hits every version (a slow network, a database restart) looks like its own. No test can tell the two
apart. But common faults are usually short, and many were already seen in this rollout. So in the
bake nothing is bet while the canary's excursion is within the grace: a little at any time, and more
where stable had such excursions in this rollout.

An excursion is measured in seconds of outage: the excess of the share of events over what is
allowed, summed over time (a one-sided CUSUM; Page, "Continuous inspection schemes", 1954). One
second in which every answer is an event counts 1, and so do twenty seconds of five percentage
points too many. Whether a block is bet on depends on earlier blocks alone, so the bets stay valid
against their null. That they begin late costs power, never validity.
"""

from typing import NamedTuple

from controller.core.judge.channels import TAILS

HALF_LIFE = 300.0
"""Seconds after which half of an excursion is forgotten, in addition to what better times take
away."""
LONGEST = 5.0
"""Seconds that a block counts at most: one event after a long silence is not a long excursion."""
DEEPEST = 2.0
"""An excursion is tracked up to this many times the largest grace, so that its end is noticed."""


class GraceLimit(NamedTuple):
    """The grace of one channel, in seconds of outage.

    `least` is granted in any case and `most` is never exceeded. In between, the grace is
    `stable_factor` times stable's worst excursion. `ramp` is the seconds after the change of weight
    until all of `least` is granted: a fault that begins together with the full load is hardly
    chance.
    """

    least: float
    most: float
    stable_factor: float
    ramp: float = 0.0


GRACE_LIMITS = {
    "5xx": GraceLimit(2.0, 10.0, 1.5, 60.0),
    "overdue": GraceLimit(2.0, 10.0, 1.5, 60.0),
    "4xx": GraceLimit(5.0, 30.0, 1.5),
    **dict.fromkeys(TAILS, GraceLimit(8.0, 45.0, 3.0)),
}
"""By channel. Server errors and unanswered requests hurt most; client errors depend on the clients;
slowness can be borne for a while."""


class GracePeriod(NamedTuple):
    """The present excursion (of stable before the bake, of the canary in it), and stable's worst.
    In seconds of outage."""

    depth: float = 0.0
    worst: float = 0.0

    def after(self, excess: float, seconds: float, limit: GraceLimit) -> "GracePeriod":
        """After a block of so many seconds in which the share of events was `excess` above what is
        allowed."""
        if excess <= 0.0 and not self.depth:
            return self
        seconds = seconds if seconds < LONGEST else LONGEST
        depth = self.depth * 0.5 ** (seconds / HALF_LIFE) + excess * seconds
        if depth <= 0.0:
            return GracePeriod(0.0, self.worst)
        most = DEEPEST * limit.most
        return GracePeriod(depth if depth < most else most, self.worst)

    def with_worst(self) -> "GracePeriod":
        """Of stable: with its worst excursion brought up to date."""
        return self if self.depth <= self.worst else GracePeriod(self.depth, self.depth)

    def at_bake(self) -> "GracePeriod":
        """Of the canary, at the start of the bake."""
        return GracePeriod(0.0, self.worst)

    def allowance(self, limit: GraceLimit, since: float) -> float:
        """The depth, in seconds of outage, up to which nothing is bet, `since` so many seconds of
        the bake."""
        least, most, stable_factor, ramp = limit
        if since < ramp:
            least *= since / ramp
        return min(max(least, stable_factor * self.worst), most)


NO_EXCURSION = GracePeriod()
