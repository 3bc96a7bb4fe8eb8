"""What many rollouts of one scenario come to: chances, times, requests, bad answers; and their course over time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, geometric_mean
from typing import Any

from controller.core.base.units import TOTAL_WEIGHT
from controller.simulation.play import PlayedRollout
from controller.simulation.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over many rollouts."""

    median: float
    mean: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        ordered = sorted(values)
        return cls(_at(ordered, 0.5), fmean(ordered), _at(ordered, 0.9))


@dataclass(frozen=True, slots=True)
class Summary:
    """One scenario. `seconds`, `requests` and `bad` are those of the rollouts that were decided, if any was, and count
    from the fault's onset; shares are of all rollouts."""

    name: str
    about: str
    healthy: bool
    runs: int
    rolled_back: float
    promoted: float
    seconds: Spread
    requests: Spread
    bad: Spread
    causes: dict[str, int]
    course: tuple[tuple[float, float, float, float], ...]
    """(time, rolled back by then, promoted by then, mean weight of the canary as a share)."""

    @property
    def right(self) -> float:
        """The share of rollouts that did not end as they must not."""
        return 1 - (self.rolled_back if self.healthy else self.promoted)

    def document(self) -> dict[str, Any]:
        """For programs."""
        course = [dict(zip(("t", "rolled_back", "promoted", "share"), point, strict=True)) for point in self.course]
        return {**asdict(self), "course": course}


def summarize(scenario: Scenario, played: Sequence[PlayedRollout], points: int) -> Summary:
    """The summary of at least one rollout, its course at so many points of time."""
    decided = [one for one in played if one.at is not None] or list(played)
    return Summary(
        name=scenario.name,
        about=scenario.about,
        healthy=scenario.healthy,
        runs=len(played),
        rolled_back=fmean(one.rolled_back for one in played),
        promoted=fmean(one.promoted for one in played),
        seconds=Spread.of([one.seconds for one in decided]),
        requests=Spread.of([one.requests for one in decided]),
        bad=Spread.of([one.bad for one in decided]),
        causes=dict(Counter(one.cause for one in played if one.cause).most_common()),
        course=tuple(_course(played, points)),
    )


def mean_bad_responses(summaries: Sequence[Summary]) -> float | None:
    """The geometric mean, over the bad canaries, of the bad answers that each serves on average (fewer than one count
    as one): every canary weighs the same, however much it harms. None if none of them is bad."""
    bad = [max(1.0, summary.bad.mean) for summary in summaries if not summary.healthy]
    return geometric_mean(bad) if bad else None


def _course(played: Sequence[PlayedRollout], points: int) -> list[tuple[float, float, float, float]]:
    end = 1.1 * max([one.moves[-1][0] for one in played] + [60.0])
    course = []
    for number in range(points):
        t = end * number / (points - 1)
        rolled_back = fmean(one.rolled_back and one.at is not None and one.at <= t for one in played)
        promoted = fmean(one.promoted and one.at is not None and one.at <= t for one in played)
        course.append((t, rolled_back, promoted, fmean(_weight_at(one, t) for one in played) / TOTAL_WEIGHT))
    return course


def _weight_at(one: PlayedRollout, t: float) -> int:
    return [weight for since, weight in one.moves if since <= t][-1]


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
