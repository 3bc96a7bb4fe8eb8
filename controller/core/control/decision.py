"""What a decision is: what happens to a service, why, and the state after it. And how one is made from an event.

Who decides is elsewhere: `automation` on a verdict, `commands` for an operator.
"""

from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.control.blocker import Blocker
from controller.core.control.describe import describe_blocker, describe_decision
from controller.core.judge.verdict import Verdict
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Event, Phase
from controller.core.model.service_state import ServiceState

FORWARD = frozenset({LedgerKind.STEP_ADVANCED, LedgerKind.APPROVAL_NEEDED, LedgerKind.PROMOTION_STARTED})
"""The kinds of decisions for which hooks are asked."""

_LINES: dict[Event, tuple[LedgerKind, Act]] = {
    Event.START: (LedgerKind.ROLLOUT_STARTED, Act.ADVANCE),
    Event.BEGIN: (LedgerKind.STEP_ADVANCED, Act.ADVANCE),
    Event.WARM: (LedgerKind.ROLLOUT_WARM, Act.RECORD),
    Event.ADVANCE: (LedgerKind.STEP_ADVANCED, Act.ADVANCE),
    Event.AWAIT_APPROVAL: (LedgerKind.APPROVAL_NEEDED, Act.RECORD),
    Event.PROMOTE: (LedgerKind.PROMOTION_STARTED, Act.ADVANCE),
    Event.BAKED: (LedgerKind.PROMOTED, Act.ADVANCE),
    Event.PAUSE: (LedgerKind.PAUSED, Act.RECORD),
    Event.RESUME: (LedgerKind.RESUMED, Act.ADVANCE),
    Event.ROLLBACK: (LedgerKind.ROLLBACK, Act.ROLLBACK),
}
"""What an event is in the ledger, and to freezes. CONFIRM depends on the phase."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and what the service's state is then.

    `kind` is that of the line in the ledger; None for a decision to wait, which leaves `state` as it is. Why: on which
    `verdict`, where it rests on one; what `blocker` is in the way; and whatever else there is to `note`, such as a
    person's reason.
    """

    kind: LedgerKind | None
    act: Act
    state: ServiceState
    note: str = ""
    verdict: Verdict | None = None
    blocker: Blocker | None = None

    @property
    def reason(self) -> str:
        """Why, in one sentence: for the ledger."""
        return describe_decision(self.note, self.verdict, self.blocker)

    @property
    def remark(self) -> str:
        """What there is to say besides the verdict's reasons; empty where they say it all."""
        blocker = describe_blocker(self.blocker) if self.blocker else ""
        return ": ".join(part for part in (blocker, self.note) if part)

    @property
    def waits(self) -> bool:
        """Whether nothing changes."""
        return self.kind is None

    @property
    def asks_hooks(self) -> bool:
        """Whether automation takes the canary a step further with it, or asks a person to: what hooks are asked for."""
        return self.kind in FORWARD


def move(state: ServiceState, event: Event, now: float, *, note: str = "", verdict: Verdict | None = None) -> Decision:
    """The decision that this event happens to the state's rollout: its phase, weight and who is stable after it.

    ValueError if there is no rollout, or its phase does not allow the event.
    """
    if state.rollout is None:
        raise ValueError(f"{state.name} has no rollout")
    moved = state.rollout.moved(event, now, describe_decision(note, verdict, None))
    stable = moved.canary if moved.phase is Phase.PROMOTED else moved.stable
    kind, act = _line(event, moved.phase)
    return Decision(kind, act, state.model_copy(update={"rollout": moved, "stable": stable}), note, verdict)


def _line(event: Event, phase: Phase) -> tuple[LedgerKind, Act]:
    if event is Event.CONFIRM:
        return LedgerKind.ROLLED_BACK if phase is Phase.ROLLED_BACK else LedgerKind.BAKE_STARTED, Act.RECORD
    return _LINES[event]


def advance(state: ServiceState, now: float, *, note: str = "", verdict: Verdict | None = None) -> Decision:
    """The decision to take the next step, which after the last one is promotion."""
    last = state.rollout is not None and state.rollout.next_weight == TOTAL_WEIGHT
    return move(state, Event.PROMOTE if last else Event.ADVANCE, now, note=note, verdict=verdict)


def wait(state: ServiceState, blocker: Blocker, verdict: Verdict | None = None) -> Decision:
    """The decision to leave everything as it is."""
    return Decision(None, Act.RECORD, state, verdict=verdict, blocker=blocker)
