"""Spells: for how long, and how badly, a version has been worse than is allowed. What the bake forgives.

In the bake nothing runs beside the canary. It is compared with what stable was, and whatever happens to everybody (a
slow network, a database that restarts) looks like its own doing. No test can tell the two apart; but what comes to
everybody is as a rule short, and much of it has been seen before. So in the bake nothing is bet while the canary is in
a spell no worse than what is forgiven: a little at any time, and more where stable had such spells in this rollout.

A spell is measured in seconds of outage: the excess of the share of events over what is allowed, summed over time (a
one-sided CUSUM; Page, "Continuous inspection schemes", 1954). A second in which every answer is an event counts 1, and
so do twenty seconds of five points too many. Whether a block is bet on depends on the blocks before it alone, so the
bets stay valid against their null; that they begin late costs power, never validity.
"""

from typing import NamedTuple

from controller.core.judge.channels import TAILS

HALF_LIFE = 300.0
"""Seconds after which half of a spell is forgotten, beside what better times take away."""
LONGEST = 5.0
"""A block counts for so many seconds at most: one event after a long silence is not a long spell."""
DEEPEST = 2.0
"""A spell is followed up to so many times what is forgiven at most, so that its end is noticed."""


class Forgiven(NamedTuple):
    """Seconds of outage: what is forgiven in any case; the most that is, whatever stable had; and up to that, so many
    times stable's worst spell.

    `after` is how many seconds it takes after the change of weight until all of `least` is: what begins together with
    the full load is hardly chance.
    """

    least: float
    most: float
    again: float
    after: float = 0.0


FORGIVEN = {
    "5xx": Forgiven(2.0, 10.0, 1.5, 60.0),
    "overdue": Forgiven(2.0, 10.0, 1.5, 60.0),
    "4xx": Forgiven(5.0, 30.0, 1.5),
    **dict.fromkeys(TAILS, Forgiven(8.0, 45.0, 3.0)),
}
"""By channel. Server errors and unanswered requests hurt most; client errors depend on who asks; slowness can be borne
for a while."""


class Spell(NamedTuple):
    """The present spell of whoever is watched (stable, in the bake the canary), and stable's worst."""

    depth: float = 0.0
    worst: float = 0.0

    def after(self, excess: float, seconds: float, forgiven: Forgiven) -> "Spell":
        """After a block of so many seconds, in which the share of events was by `excess` above what is allowed."""
        if excess <= 0.0 and not self.depth:
            return self
        seconds = seconds if seconds < LONGEST else LONGEST
        depth = self.depth * 0.5 ** (seconds / HALF_LIFE) + excess * seconds
        if depth <= 0.0:
            return Spell(0.0, self.worst)
        most = DEEPEST * forgiven.most
        return Spell(depth if depth < most else most, self.worst)

    def remembered(self) -> "Spell":
        """Stable's: with its worst kept."""
        return self if self.depth <= self.worst else Spell(self.depth, self.depth)

    def begun(self) -> "Spell":
        """The canary's, at the beginning of the bake."""
        return Spell(0.0, self.worst)

    def limit(self, forgiven: Forgiven, since: float) -> float:
        """The depth up to which it is forgiven, `since` so many seconds of the bake."""
        least, most, again, after = forgiven
        if since < after:
            least *= since / after
        return min(max(least, again * self.worst), most)


NO_SPELL = Spell()
