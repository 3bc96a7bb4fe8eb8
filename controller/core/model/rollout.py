"""A rollout: the move of traffic from stable to canary, and the legal transitions as ONE table.

Nothing here decides; `automation` and `commands` do. A phase changes only through `Rollout.moved`.
"""

from enum import StrEnum

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.base.value import Value
from controller.core.model.service import Policy


class Phase(StrEnum):
    """Where a rollout stands. The names are those of the admin API."""

    IDLE = "IDLE"
    """No rollout has ever run."""
    WARMING = "WARMING"
    """At the first step's weight while the canary warms up: wider margins, latency not judged.

    Without weight until the hooks let it begin, and until every proxy has resolved the canary's host names."""
    PROGRESSING = "PROGRESSING"
    PAUSED = "PAUSED"
    """Automation waits; protection stays on."""
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    PROMOTING = "PROMOTING"
    """All weight on the canary but stable's holdback; the proxies have yet to confirm."""
    BAKING = "BAKING"
    """Likewise, confirmed: stable's holdback is the control by which the new version is watched."""
    PROMOTED = "PROMOTED"
    """The canary is the stable now."""
    ROLLING_BACK = "ROLLING_BACK"
    """All weight on the stable; the proxies have yet to confirm."""
    ROLLED_BACK = "ROLLED_BACK"
    """Final for that canary, until an operator starts it again."""


class Event(StrEnum):
    """What can happen to a rollout."""

    START = "START"
    BEGIN = "BEGIN"
    """The hooks let it begin, and its host names are resolved."""
    WARM = "WARM"
    ADVANCE = "ADVANCE"
    AWAIT_APPROVAL = "AWAIT_APPROVAL"
    """The next weight needs a person's approval."""
    PROMOTE = "PROMOTE"
    CONFIRM = "CONFIRM"
    """The proxies serve what was decided, or have had their time."""
    BAKED = "BAKED"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ROLLBACK = "ROLLBACK"


BACK = "(back)"
"""In the table: return to the phase in which the rollout was paused."""

_TABLE = """
                   START    BEGIN    WARM         ADVANCE      AWAIT_APPROVAL     PROMOTE    CONFIRM      BAKED     PAUSE   RESUME  ROLLBACK
IDLE               WARMING  -        -            -            -                  -          -            -         -       -       -
WARMING            WARMING  WARMING  PROGRESSING  -            -                  PROMOTING  -            -         PAUSED  -       ROLLING_BACK
PROGRESSING        WARMING  -        -            PROGRESSING  AWAITING_APPROVAL  PROMOTING  -            -         PAUSED  -       ROLLING_BACK
PAUSED             WARMING  -        -            -            -                  PROMOTING  -            PROMOTED  -       (back)  ROLLING_BACK
AWAITING_APPROVAL  WARMING  -        -            PROGRESSING  -                  PROMOTING  -            -         PAUSED  -       ROLLING_BACK
PROMOTING          -        -        -            -            -                  -          BAKING       -         PAUSED  -       ROLLING_BACK
BAKING             -        -        -            -            -                  -          -            PROMOTED  PAUSED  -       ROLLING_BACK
PROMOTED           WARMING  -        -            -            -                  -          -            -         -       -       ROLLING_BACK
ROLLING_BACK       -        -        -            -            -                  -          ROLLED_BACK  -         -       -       -
ROLLED_BACK        WARMING  -        -            -            -                  -          -            -         -       -       -
"""  # noqa: E501


def _read(table: str) -> dict[tuple[Phase, Event], str]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    return {(Phase(row[0]), Event(event)): cell for row in rows for event, cell in zip(head, row[1:], strict=True)}


TRANSITIONS = _read(_TABLE)
"""(phase, event) -> the phase after it, `(back)`, or `-` where the event is not possible. Every pair has an answer.

While PAUSED, RESUME is possible, and otherwise only what both this row and the row of the paused phase allow: a bake
that is paused can be ended, and not restarted."""

RUNNING = frozenset(Phase) - {Phase.IDLE, Phase.PROMOTED, Phase.ROLLED_BACK}
"""The phases in which a rollout is under way."""

JUDGED = RUNNING - {Phase.ROLLING_BACK}
"""The phases in which harm leads to a rollback."""


class Rollout(Value):
    """One rollout. Values change only by `moved` and `without_weight`.

    Times are Unix seconds, for people; durations live in `Progress`.

    `policy` is the one it started with: the error budget of a running rollout is fixed. `step` counts from 0 in
    `policy.steps`; `weight` is the canary's, in basis points. `copies` is the share of stable's requests that the
    canary gets copies of, in basis points: 0 but in the shadow step. `paused_in` is the phase that a pause returns to.
    `suppressed` holds the causes of rollbacks that a freeze suppressed in this phase, so that each is recorded once.
    """

    id: str
    service: str
    stable: str
    canary: str
    policy: Policy
    phase: Phase = Phase.WARMING
    step: int = 0
    weight: int = 0
    copies: int = 0
    paused_in: Phase | None = None
    suppressed: tuple[str, ...] = ()
    reason: str = ""
    started_at: float = 0.0
    entered_at: float = 0.0

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.phase in RUNNING

    @property
    def has_traffic(self) -> bool:
        """Whether the canary gets requests, or copies of them."""
        return self.weight > 0 or self.copies > 0

    @property
    def is_judged_by_copies(self) -> bool:
        """Whether the canary's sample is the copies that it gets."""
        return self.policy.shadow is not None and not self.weight

    @property
    def dwell(self) -> float:
        """The least seconds at the present step."""
        return self.policy.shadow.dwell if self.policy.shadow and self.copies else self.policy.dwell

    @property
    def next_weight(self) -> int:
        """The canary's weight after the present step; 10 000 after the last."""
        steps = self.policy.steps
        return steps[self.step + 1] if self.step + 1 < len(steps) else TOTAL_WEIGHT

    def can(self, event: Event) -> bool:
        """Whether the table knows this event in the present phase, and in the one in which it was paused."""
        beneath = self.paused_in if self.paused_in and event is not Event.RESUME else self.phase
        return TRANSITIONS[self.phase, event] != "-" != TRANSITIONS[beneath, event]

    def moved(self, event: Event, now: float, reason: str) -> "Rollout":
        """The rollout after the event, its weight with it. ValueError if the table says that it is not possible."""
        if not self.can(event):
            raise ValueError(f"{event} is not possible in {self.phase}")
        cell = TRANSITIONS[self.phase, event]
        phase = (self.paused_in or Phase.PROGRESSING) if cell == BACK else Phase(cell)
        step = {Event.START: 0, Event.ADVANCE: self.step + 1}.get(event, self.step)
        return self.model_copy(
            update={
                "phase": phase,
                "step": step,
                "weight": self._weight(event, step),
                "copies": self._copies(event),
                "paused_in": self.phase if event is Event.PAUSE else None,
                "suppressed": self.suppressed if event in (Event.PAUSE, Event.RESUME) else (),
                "reason": reason,
                "entered_at": now,
            }
        )

    def without_weight(self) -> "Rollout":
        """The rollout that has just started, without weight and copies until BEGIN."""
        return self.model_copy(update={"weight": 0, "copies": 0})

    def _copies(self, event: Event) -> int:
        match event:
            case Event.START if self.policy.hooks:
                return 0
            case Event.START | Event.BEGIN:
                return self.policy.shadow.share if self.policy.shadow else 0
            case Event.WARM | Event.AWAIT_APPROVAL | Event.PAUSE | Event.RESUME:
                return self.copies
            case _:
                return 0

    def _weight(self, event: Event, step: int) -> int:
        match event:
            case Event.START if self.policy.hooks:
                return 0
            case Event.START | Event.BEGIN | Event.ADVANCE:
                return self.policy.steps[step]
            case Event.PROMOTE:
                return self.policy.bake_weight
            case Event.BAKED:
                return TOTAL_WEIGHT
            case Event.ROLLBACK:
                return 0
            case _:
                return self.weight
