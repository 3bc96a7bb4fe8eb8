"""What a decision is: what happens to a service, why, and the state after it. And how one is made from an event.

Who decides is elsewhere: `automation` on a verdict, `commands` on an operator's word.
"""

from dataclasses import dataclass

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Event, Phase, Rollout
from controller.core.model.state import ServiceState

FORWARD = frozenset({LedgerKind.STEP_ADVANCED, LedgerKind.APPROVAL_NEEDED, LedgerKind.PROMOTION_STARTED})
"""The kinds of decisions for which hooks are asked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and what the service's state is then.

    `kind` is that of the line in the ledger; None for a decision to wait, which leaves `state` as it is.
    """

    kind: LedgerKind | None
    act: Act
    reason: str
    state: ServiceState

    @property
    def waits(self) -> bool:
        """Whether nothing changes."""
        return self.kind is None

    @property
    def forward(self) -> bool:
        """Whether automation takes the canary a step further with it, or asks a person to: what hooks are asked for."""
        return self.kind in FORWARD


def move(
    state: ServiceState, rollout: Rollout, event: Event, kind: LedgerKind, act: Act, why: str, now: float
) -> Decision:
    """The decision that this event happens to the rollout: its phase, weight and who is stable after it."""
    moved = rollout.moved(event, now, why)
    stable = moved.canary if moved.phase is Phase.PROMOTED else moved.stable
    return Decision(kind, act, why, state.model_copy(update={"rollout": moved, "stable": stable}))


def forward(state: ServiceState, rollout: Rollout, why: str, now: float, kind: LedgerKind | None = None) -> Decision:
    """The decision to take the next step, which after the last one is promotion."""
    if rollout.next_weight == TOTAL_WEIGHT:
        return move(state, rollout, Event.FINISH, kind or LedgerKind.PROMOTION_STARTED, Act.ADVANCE, why, now)
    return move(state, rollout, Event.ADVANCE, kind or LedgerKind.STEP_ADVANCED, Act.ADVANCE, why, now)


def hold(state: ServiceState, reason: str) -> Decision:
    """The decision to leave everything as it is."""
    return Decision(None, Act.RECORD, reason, state)


def held(state: ServiceState, decision: Decision, reason: str) -> Decision:
    """To hold where `decision` would have moved on."""
    return hold(state, f"would move on ({decision.kind}), but {reason}")
