"""What the records show: shares against weights, and how long harm lasted. Pure functions."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT
from controller.demo.harness.request_result import RequestResult
from controller.demo.traffic_split import TrafficSplit

SETTLED = 0.05
"""Seconds after a change at Envoy that belong to neither side: requests under way were routed
before it."""
DEVIATIONS = 4.5
"""Standard deviations of sampling error that a share may be off; beyond them chance is less than 1
in 100 000."""
ENOUGH = 40
"""Responses without which a share says nothing."""


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which Envoy's weights stood still (monotonic seconds)."""

    weights: dict[str, int]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ObservedShare:
    """How many of `total` responses came from one version, and Envoy's weight for it in basis
    points."""

    version: str
    weight: int
    responses: int
    total: int

    @property
    def observed(self) -> float:
        """The share that clients saw, 0..1."""
        return self.responses / self.total if self.total else 0.0

    @property
    def matches(self) -> bool:
        """Whether the share that clients saw is the weight, within sampling error."""
        expected = self.weight / TOTAL_WEIGHT
        error = math.sqrt(self.total * expected * (1 - expected))
        return self.total >= ENOUGH and abs(self.responses - self.total * expected) <= DEVIATIONS * error + 1e-9


def periods(splits: Sequence[TrafficSplit], end: float) -> list[Period]:
    """The periods between Envoy's changes, the last one up to `end`."""
    ends = [later.since for later in splits[1:]] + [end]
    return [Period(one.weights, one.since, until) for one, until in zip(splits, ends, strict=True)]


def measure_share(results: Iterable[RequestResult], version: str, period: Period) -> ObservedShare:
    """The version's share of the requests that were sent while these weights were in force."""
    sent = [r for r in results if period.start + SETTLED <= r.sent < period.end - SETTLED]
    given = sum(r.version == version for r in sent)
    return ObservedShare(version, period.weights.get(version, 0), given, len(sent))


@dataclass(frozen=True, slots=True)
class Harm:
    """What a bad version did to clients, and when it ended. Times are monotonic seconds.

    `decided` is when the ledger has the rollback, `acknowledged` when Envoy had told the controller
    that it serves it.
    """

    responses: int
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


def measure_harm(results: Sequence[RequestResult], decided: float, acknowledged: float) -> Harm | None:
    """The harm in these results of a version; None if no client saw an error."""
    times = [r.ended for r in results if not r.ok]
    if not times:
        return None
    return Harm(len(results), len(times), min(times), max(times), decided, acknowledged)
