"""What is known of one rollout between two ticks, and its stored form."""

import json
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
from controller.core.model.state import ServiceState


class Stage(NamedTuple):
    """Where a rollout dwells: time counts as long as these stay the same.

    So the warm-up counts towards the first step's dwell, the bake begins with its phase, and a pause ends neither.
    """

    step: int
    weight: int
    baking: bool


class Session(NamedTuple):
    """What is known of one rollout between two ticks: the judge's state, and how long it has been watched.

    `at` is the monotonic time of the last tick, None before the first. `stage` is what the dwell in `progress` was
    spent at; time at one stage never counts for another. All of it can be stored and taken up again.
    """

    rollout_id: str
    judge_state: JudgeState
    progress: Progress = Progress()
    at: float | None = None
    stage: Stage | None = None
    custom: CustomMetrics = {}
    silent: float = 0.0
    """Seconds since the last report: watched if one comes before sight is lost, and not before it has come."""

    @classmethod
    def of(cls, state: ServiceState) -> "Session":
        """The session at the start of the state's rollout."""
        if state.rollout is None:
            raise ValueError(f"{state.name} has no rollout")
        return cls(
            state.rollout.id, JudgeState.start(without_custom(state.rollout.policy)), stage=stage_of(state.rollout)
        )

    def dump(self) -> str:
        """As JSON, to go on from after a restart. The time of the last tick is left out: clocks start anew."""
        return json.dumps(
            {
                "rollout_id": self.rollout_id,
                "progress": self.progress._asdict(),
                "stage": self.stage,
                "evidence": dump_state(self.judge_state),
                "custom": dump_custom(self.custom),
            }
        )

    @classmethod
    def load(cls, text: str) -> "Session":
        """What `dump` wrote; ValueError for anything else."""
        try:
            stored = json.loads(text)
            return cls(
                str(stored["rollout_id"]),
                load_state(stored["evidence"]),
                Progress(*[float(stored["progress"][name]) for name in Progress._fields]),
                stage=Stage(*stored["stage"]),
                custom=load_custom(stored.get("custom", {})),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a stored session: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a tick must know beside the window: the freezes in force and how far the proxies are.

    `harm` is why somebody else (a hook) wants the rollout taken back: it weighs as much as harm that was measured.
    """

    freezes: tuple[Freeze, ...] = ()
    sync: Sync = field(default_factory=lambda: Sync(1, 1))
    sync_share: float = 1.0
    stable_unroutable: bool = False
    harm: Reason | None = None


def entered(session: Session, after: ServiceState, at: float) -> Session:
    """The session once a decision has been committed, at the monotonic time `at`: where it changed the stage, the dwell
    begins then. A commit can take long, and what was watched meanwhile was the stage before.

    A change by somebody else, or one after which the session was not saved, is seen at the next tick.
    """
    if after.rollout is None or session.stage == stage_of(after.rollout):
        return session
    return dwelling(session, after.rollout)._replace(at=at)


def dwelling(session: Session, rollout: Rollout) -> Session:
    """The session at the rollout's stage: no time spent at another one counts for it.

    Nor does any time count, towards the deadline either, that a rollout had to wait for its hooks to let it begin.
    """
    stage = stage_of(rollout)
    if session.stage == stage:
        return session
    began = session.stage is not None and session.stage.weight == 0
    return session._replace(stage=stage, silent=0.0, progress=Progress() if began else session.progress.entered())


def stage_of(rollout: Rollout) -> Stage:
    return Stage(rollout.step, rollout.weight, Phase.BAKING in (rollout.phase, rollout.paused_in))
