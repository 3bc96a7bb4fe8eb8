"""What is known of one rollout between two ticks, and its stored form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.core.control.progress import Progress
from controller.core.control.sync import Sync
from controller.core.judge.custom.custom_metrics import CustomMetrics, dump_custom, load_custom, without_custom
from controller.core.judge.state import JudgeState
from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Reason
from controller.core.model.freeze import Freeze
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.traffic.endpoint_health import EndpointHealth

MAX_POSITIONS = 100
"""Instances of controllers whose positions are kept with a session: each restart of a controller is one more."""


class Position(NamedTuple):
    """Where a rollout dwells: time counts as long as these stay the same.

    So the warm-up counts towards the first step's dwell, the bake begins with its phase, and a pause ends neither.
    """

    step: int
    weight: int
    """Of the canary, in basis points."""
    baking: bool
    copies: int = 0
    """Of stable's requests to the canary, in basis points."""


class Session(NamedTuple):
    """What is known of one rollout between two ticks: the judge's state, and how long it has been watched.

    `at` is the monotonic time of the last tick, None before the first. `position` is where the time in `progress` was
    spent; time at one position never counts for another. All of it can be stored and loaded again.
    """

    rollout_id: str
    judge_state: JudgeState
    progress: Progress = Progress()
    at: float | None = None
    position: Position | None = None
    custom: CustomMetrics = {}
    capacity: int | None = None
    """Stable's healthy endpoints when they were first known in this rollout."""
    silent: float = 0.0
    """Seconds since the last report. The next report makes them count as watched, unless reports are lost before."""
    positions: Mapping[str, int] = {}
    """By instance of a controller: the last batch of its reports that is part of the evidence."""

    @classmethod
    def of(cls, state: ServiceState) -> "Session":
        """The session at the start of the state's rollout; ValueError if there is none."""
        if state.rollout is None:
            raise ValueError(f"{state.name} has no rollout")
        judge_state = JudgeState.start(without_custom(state.rollout.policy))
        return cls(state.rollout.id, judge_state, position=position_of(state.rollout))

    def reported_until(self, positions: Mapping[str, int]) -> "Session":
        """With the evidence of all batches up to these. None goes back: a batch that is read again for the sake of
        another service is no news for this one."""
        later = {name: max(number, self.positions.get(name, 0)) for name, number in positions.items()}
        older = {name: number for name, number in self.positions.items() if name not in later}
        return self._replace(positions=dict([*older.items(), *later.items()][-MAX_POSITIONS:]))

    def dump(self) -> str:
        """As JSON, to go on from after a restart, without the time of the last tick: monotonic clocks start over."""
        return json.dumps(
            {
                "rollout_id": self.rollout_id,
                "progress": self.progress._asdict(),
                "stage": self.position,
                "evidence": dump_state(self.judge_state),
                "custom": dump_custom(self.custom),
                "capacity": self.capacity,
                "positions": dict(self.positions),
            }
        )

    @classmethod
    def load(cls, text: str) -> "Session":
        """The session in what `dump` wrote; ValueError for anything else."""
        try:
            stored = json.loads(text)
            return cls(
                str(stored["rollout_id"]),
                load_state(stored["evidence"]),
                Progress(*[float(stored["progress"][name]) for name in Progress._fields]),
                position=Position(*stored["stage"]),
                custom=load_custom(stored.get("custom", {})),
                capacity=_count_or_none(stored.get("capacity")),
                positions={str(name): int(number) for name, number in stored.get("positions", {}).items()},
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a stored session: {error!r}") from error


def _count_or_none(stored: object) -> int | None:
    if stored is None or (isinstance(stored, int) and stored >= 0):
        return stored
    raise TypeError(f"not a number of endpoints: {stored!r}")


@dataclass(frozen=True, slots=True)
class TickInputs:
    """What a tick must know besides the window: the freezes in force, and how far the proxies are.

    `sync_share` is the share of the proxies that must be in sync to advance. `harm` is why a hook wants a rollback: it
    weighs as much as harm that was measured. `endpoints` says of stable and the canary how many endpoints are healthy,
    None while no proxy reports on them. `reported`: whether a window is complete, so that no proxy's report is still
    awaited.
    """

    freezes: tuple[Freeze, ...] = ()
    sync: Sync = field(default_factory=lambda: Sync(1, 1))
    sync_share: float = 1.0
    endpoints: Mapping[str, EndpointHealth | None] = field(default_factory=dict)
    harm: Reason | None = None
    reported: bool = True


def after_commit(session: Session, state: ServiceState, at: float) -> Session:
    """The session once a decision was committed, at the monotonic time `at`; `state` is the one after it.

    Where the decision changed the position, the dwell begins at `at`: a commit can take long, and what was watched
    meanwhile was the position before. A change by another replica or by an operator, or one after which the session was
    not saved, is noticed at the next tick.
    """
    if state.rollout is None or session.position == position_of(state.rollout):
        return session
    return at_position(session, state.rollout)._replace(at=at)


def at_position(session: Session, rollout: Rollout) -> Session:
    """The session at the rollout's position: no time spent at another one counts for it.

    Time before the hooks let the rollout begin counts for nothing, not even towards the deadline.
    """
    position = position_of(rollout)
    if session.position == position:
        return session
    began = session.position is not None and session.position.weight == 0 == session.position.copies
    progress = Progress() if began else session.progress.restarted()
    return session._replace(position=position, silent=0.0, progress=progress)


def position_of(rollout: Rollout) -> Position:
    """Where the rollout dwells."""
    return Position(rollout.step, rollout.weight, Phase.BAKING in (rollout.phase, rollout.paused_in), rollout.copies)
