"""What a decision is: what happens to a service, why, and the state after it. And how one is made from an event.

Who decides is elsewhere: `automation` on a verdict, `commands` on an operator's word.
"""

from dataclasses import dataclass
from enum import StrEnum

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.freeze import Act
from controller.core.model.rollout import Event, Phase, Rollout
from controller.core.model.state import ServiceState


class Kind(StrEnum):
    """What was decided; the word that the ledger uses."""

    HOLD = "hold"
    STARTED = "rollout_started"
    WARMED = "rollout_warm"
    ADVANCED = "step_advanced"
    APPROVAL_NEEDED = "approval_needed"
    APPROVED = "approved"
    PROMOTING = "promotion_started"
    BAKING = "bake_started"
    PROMOTED = "promoted"
    PAUSED = "paused"
    RESUMED = "resumed"
    ROLLBACK = "rollback"
    ROLLED_BACK = "rolled_back"
    DIVERTED = "fallback_on"
    RESTORED = "fallback_off"
    SUPPRESSED = "rollback_suppressed"
    NO_HEALTHY_UPSTREAM = "rollback_into_void"
    """Not rolled back, since stable has no healthy endpoint."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and what the service's state is then (`state` is the present one on HOLD)."""

    kind: Kind
    act: Act
    reason: str
    state: ServiceState

    @property
    def holds(self) -> bool:
        """Whether nothing is to be written."""
        return self.kind is Kind.HOLD

    @property
    def forward(self) -> bool:
        """Whether automation takes the canary a step further with it, or asks a person to: what hooks are asked for."""
        return self.kind in (Kind.ADVANCED, Kind.APPROVAL_NEEDED, Kind.PROMOTING)


def move(state: ServiceState, rollout: Rollout, event: Event, kind: Kind, act: Act, why: str, now: float) -> Decision:
    """The decision that this event happens to the rollout: its phase, weight and who is stable after it."""
    moved = rollout.moved(event, now, why)
    stable = moved.canary if moved.phase is Phase.PROMOTED else moved.stable
    return Decision(kind, act, why, state.model_copy(update={"rollout": moved, "stable": stable}))


def forward(state: ServiceState, rollout: Rollout, why: str, now: float, kind: Kind | None = None) -> Decision:
    """The decision to take the next step, which after the last one is promotion."""
    if rollout.next_weight == TOTAL_WEIGHT:
        return move(state, rollout, Event.FINISH, kind or Kind.PROMOTING, Act.ADVANCE, why, now)
    return move(state, rollout, Event.ADVANCE, kind or Kind.ADVANCED, Act.ADVANCE, why, now)


def hold(state: ServiceState, reason: str) -> Decision:
    """The decision to leave everything as it is."""
    return Decision(Kind.HOLD, Act.RECORD, reason, state)


def held(state: ServiceState, decision: Decision, reason: str) -> Decision:
    """To hold where `decision` would have moved on."""
    return hold(state, f"would move on ({decision.kind}), but {reason}")
