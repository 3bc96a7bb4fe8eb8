"""The evidence of every channel over time, kept in little space so that a rollout can be
explained."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from controller.core.judge.channels import plan_of
from controller.core.judge.custom.custom_metrics import CustomMetrics, total_evidence, without_custom
from controller.core.judge.state import JudgeState
from controller.core.model.service import Policy

MOST = 240
"""Points of a trace."""
PACE = 1.0
"""Seconds for each point at first; it doubles each time that the trace is full."""


class EvidencePoint(NamedTuple):
    """The evidence at one time. An e-value of 1 says nothing.

    `time` is seconds of observation since the rollout's first tick, `wall` Unix seconds. `total` is
    the evidence of harm that a rollback rests on. `harm` has each channel's own: what `total` would
    be if it were staked whole on that channel or custom rate. `no_harm` has that of each metric at
    the present step's gate. `worse`: of a gauge, how many of its last readings were worse than
    allowed.
    """

    time: float
    wall: float
    weight: int
    total: float
    harm: Mapping[str, float]
    no_harm: Mapping[str, float]
    worse: Mapping[str, int] = MappingProxyType({})

    def plain(self) -> dict[str, Any]:
        """What goes with a decision into the ledger, as JSON values, three digits each."""
        harm, no_harm = _all_short(self.harm), _all_short(self.no_harm)
        worse = {"worse": dict(self.worse)} if self.worse else {}
        return {"time": round(self.time, 3), "total": _short(self.total), "harm": harm, "no_harm": no_harm, **worse}

    @classmethod
    def from_plain(cls, stored: Mapping[str, Any], wall: float, weight: int) -> "EvidencePoint":
        """What `plain` gave, at that time and weight."""
        harm, no_harm, worse = stored["harm"], stored["no_harm"], stored.get("worse", {})
        return cls(stored["time"], wall, weight, stored["total"], harm, no_harm, worse)


class EvidenceTrace:
    """The points of one rollout, oldest first. Mutable."""

    def __init__(self, points: Sequence[EvidencePoint] = (), pace: float = PACE) -> None:
        self.points = list(points)
        self.pace = pace

    def would_keep(self, time: float, total: float) -> bool:
        """Whether a point at that time with so much evidence would be kept."""
        last = self.points[-1] if len(self.points) > 1 else None
        return last is None or total > last.total or not self._near(last.time, time)

    def add(self, point: EvidencePoint, *, keep: bool = False) -> None:
        """A point more. Of those within one pace the one with the most evidence of harm stays, so
        no peak is lost.

        `keep`: it stays in any case, because something was decided here.
        """
        last = self.points[-1] if len(self.points) > 1 else None
        if last is None or keep or not self._near(last.time, point.time):
            self.points.append(point)
        elif point.total > last.total:
            self.points[-1] = point
        if len(self.points) > MOST:
            self._thin()

    def truncate(self, time: float) -> None:
        """Forget what was seen after that time."""
        self.points = [point for point in self.points if point.time <= time]

    def dump(self) -> dict[str, Any]:
        """As JSON values, three digits each."""
        return {
            "pace": self.pace,
            "points": [
                [
                    round(p.time, 3),
                    round(p.wall, 3),
                    p.weight,
                    _short(p.total),
                    _all_short(p.harm),
                    _all_short(p.no_harm),
                    dict(p.worse),
                ]
                for p in self.points
            ],
        }

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "EvidenceTrace":
        """What `dump` gave; ValueError, KeyError or TypeError for anything else."""
        return cls([EvidencePoint(*point) for point in stored["points"]], float(stored["pace"]))

    def _thin(self) -> None:
        """Double the pace until they are few; the first and the last stay."""
        while len(self.points) > MOST * 0.75:
            self.pace *= 2
            thinned = EvidenceTrace(pace=self.pace)
            for point in self.points[:-1]:
                thinned.add(point)
            self.points = [*thinned.points, self.points[-1]]

    def _near(self, one: float, other: float) -> bool:
        return int(one / self.pace) == int(other / self.pace)


def point_of(policy: Policy, state: JudgeState, custom: CustomMetrics, step: int, wall: float) -> EvidencePoint:
    """The evidence as it stands."""
    plan = plan_of(without_custom(policy))
    rung = plan.rung_of(step)
    harm = {name: state.harm[name].total / weight for name, weight in plan.weights.items()}
    no_harm = {metric: test.evidence[rung] for metric, test in state.non_inferiority.items()}
    worse = {}
    for name, known in custom.items():
        if known.gauge:
            worse[name] = sum(known.worse)
        else:
            harm[name], no_harm[name] = known.harm_evidence, known.no_harm_evidence
    return EvidencePoint(state.time, wall, state.weight, total_evidence(policy, custom, state), harm, no_harm, worse)


def _all_short(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _short(value) for name, value in values.items()}


def _short(value: float) -> float:
    return float(f"{value:.3g}")
