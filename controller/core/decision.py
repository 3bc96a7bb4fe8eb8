"""What a decision is: what happens to a service, why, and the state after it. And how one is made from an event.

Who decides is elsewhere: `automation` on a verdict, `commands` on an operator's word.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from controller.core.guard import Act
from controller.core.rollout import Event, Phase, Rollout
from controller.core.units import PARTS
from controller.core.view import ServiceState


class Progress(NamedTuple):
    """How long a rollout has been watched, in seconds of a monotonic clock; a restart goes on with what was stored.

    `observed` counts, since the last change of phase or step, only time for which reports arrived, so a dwell is
    never served by silence; `elapsed` counts all time since then; `total` is the time since the start for which
    reports arrived: it runs on where nobody asks for anything, so a deadline comes also then.
    """

    observed: float = 0.0
    elapsed: float = 0.0
    total: float = 0.0

    def after(self, seconds: float, seen: float, *, idle: bool) -> "Progress":
        """`seconds` later, reports having covered `seen` more of them; `idle`: nobody asked for anything meanwhile."""
        observed = self.observed if idle else self.observed + seen
        return Progress(observed, self.elapsed + seconds, self.total + seen)

    def entered(self) -> "Progress":
        """At the beginning of another phase or step."""
        return Progress(total=self.total)


@dataclass(frozen=True, slots=True)
class Sync:
    """How many of the connected proxies serve what was decided, and by name which have refused it or do not yet."""

    synced: int = 0
    total: int = 0
    refused: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every connected proxy serves it."""
        return self.synced >= self.total

    def enough(self, share: float) -> bool:
        """Whether the fleet is in sync enough to advance: at least one proxy, that share of them, none refusing."""
        return self.total > 0 and not self.refused and self.synced >= share * self.total


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
    VOID = "rollback_into_void"
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
    if rollout.next_weight == PARTS:
        return move(state, rollout, Event.FINISH, kind or Kind.PROMOTING, Act.ADVANCE, why, now)
    return move(state, rollout, Event.ADVANCE, kind or Kind.ADVANCED, Act.ADVANCE, why, now)


def hold(state: ServiceState, reason: str) -> Decision:
    """The decision to leave everything as it is."""
    return Decision(Kind.HOLD, Act.RECORD, reason, state)


def held(state: ServiceState, decision: Decision, reason: str) -> Decision:
    """To hold where `decision` would have moved on."""
    return hold(state, f"would move on ({decision.kind}), but {reason}")
