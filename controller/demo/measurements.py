"""What follows from what was seen: shares against weights, and how long harm lasted. Pure functions of records."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT
from controller.demo.doors import TrafficSplit
from controller.demo.load import Answer

SETTLED = 0.05
"""Seconds after a change at Envoy that belong to neither side: requests under way were routed before it."""
DEVIATIONS = 4.5
"""Standard deviations of sampling error that a share may be off; beyond them chance is less than 1 in 100 000."""
ENOUGH = 40
"""Answers without which a share says nothing."""


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which Envoy's weights stood still (monotonic seconds)."""

    weights: dict[str, int]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ObservedShare:
    """How many of the answers came from one version, and how many should have by Envoy's weight."""

    version: str
    weight: int
    given: int
    answers: int

    @property
    def seen(self) -> float:
        """The share that clients saw, 0..1."""
        return self.given / self.answers if self.answers else 0.0

    @property
    def right(self) -> bool:
        """Whether what clients saw is the weight, within sampling error."""
        expected = self.weight / TOTAL_WEIGHT
        error = math.sqrt(self.answers * expected * (1 - expected))
        return self.answers >= ENOUGH and abs(self.given - self.answers * expected) <= DEVIATIONS * error + 1e-9


def periods(served: Sequence[TrafficSplit], end: float) -> list[Period]:
    """The periods between Envoy's changes, the last one up to `end`."""
    ends = [later.since for later in served[1:]] + [end]
    return [Period(one.weights, one.since, until) for one, until in zip(served, ends, strict=True)]


def share(answers: Iterable[Answer], version: str, period: Period) -> ObservedShare:
    """The version's share of what clients asked while these weights were in force."""
    asked = [a for a in answers if period.start + SETTLED <= a.sent < period.end - SETTLED]
    given = sum(a.version == version for a in asked)
    return ObservedShare(version, period.weights.get(version, 0), given, len(asked))


@dataclass(frozen=True, slots=True)
class Harm:
    """What a bad version did to clients, and when it ended. Times are monotonic seconds.

    `decided` is when the ledger has the rollback, `acknowledged` when Envoy had told the controller that it serves it.
    """

    answers: int
    bad: int
    first_bad: float
    last_bad: float
    decided: float
    acknowledged: float

    @property
    def to_decision(self) -> float:
        """Seconds from the first bad answer to the decision."""
        return self.decided - self.first_bad

    @property
    def to_acknowledgement(self) -> float:
        """Seconds from the decision to Envoy's acknowledgement."""
        return self.acknowledged - self.decided


def harm(answers: Sequence[Answer], decided: float, acknowledged: float) -> Harm | None:
    """The harm in these answers of a version; None if clients saw none."""
    times = [a.ended for a in answers if not a.ok]
    if not times:
        return None
    return Harm(len(answers), len(times), min(times), max(times), decided, acknowledged)
