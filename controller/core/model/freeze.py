"""What stops what: one function, one truth table.

Order of power: an operator's forced rollback > freeze > automatic rollback and an operator's rollback > hold >
everything that raises or moves weight forward. Checked inside the store's transaction, nowhere else.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from math import inf
from typing import Any

from controller.core.base.value import Value

ALL = "*"
"""The scope of a freeze of every service."""


class Act(StrEnum):
    """What a change does to the traffic, as far as freezes care."""

    FORCED_ROLLBACK = "forced_rollback"
    """An operator's rollback --force: goes through everything."""
    ROLLBACK = "rollback"
    """All weight back to stable, by the judge or by an operator."""
    ADVANCE = "advance"
    """Any other move of weight or step towards the canary: start, step, approve, promote, resume, end of bake."""
    DELETE = "delete"
    """The service stops being served."""
    FALLBACK = "fallback"
    """Traffic goes to the declared fallback, or comes back from it."""
    RECORD = "record"
    """Moves no weight: bookkeeping, pause, endpoints that come and go, a freeze itself."""


class Mode(StrEnum):
    """`freeze`: no weight moves, by automation or by ordinary commands. `hold`: no advance, but rollback is allowed."""

    FREEZE = "freeze"
    HOLD = "hold"


class Freeze(Value):
    """A freeze or hold in force. Times are Unix seconds; `until` is None for one without an end."""

    scope: str
    mode: Mode = Mode.FREEZE
    reason: str
    who: str
    since: float
    until: float | None = None

    def covers(self, service: str) -> bool:
        """Whether it applies to that service."""
        return self.scope in (ALL, service)

    @property
    def end(self) -> float:
        """When it ends by itself: infinity for one without an end."""
        return inf if self.until is None else self.until

    def plain(self) -> dict[str, Any]:
        """As JSON values, as the APIs show it."""
        return self.model_dump(mode="json")

    def renews(self, other: "Freeze") -> bool:
        """Whether it says all that the other one says, for no shorter: the same words of the same person."""
        same = (self.scope, self.mode, self.who, self.reason) == (other.scope, other.mode, other.who, other.reason)
        return same and self.end >= other.end


STOPS: dict[Mode, frozenset[Act]] = {
    Mode.FREEZE: frozenset({Act.ROLLBACK, Act.ADVANCE, Act.DELETE, Act.FALLBACK}),
    Mode.HOLD: frozenset({Act.ADVANCE, Act.DELETE}),
}
"""The truth table: the acts that each mode stops. What is not named passes."""


def blocking(freezes: Iterable[Freeze], service: str, act: Act) -> Freeze | None:
    """The freeze that stops this act on this service, of several the first in rank; None if it may go ahead."""
    return min((f for f in freezes if f.covers(service) and act in STOPS[f.mode]), key=_rank, default=None)


def standing_over(freezes: Iterable[Freeze], scopes: Sequence[str]) -> tuple[Freeze, ...]:
    """Those that apply to any service of these scopes, by their rank."""
    return tuple(sorted((f for f in freezes if ALL in scopes or f.scope in (ALL, *scopes)), key=_rank))


def _rank(freeze: Freeze) -> tuple[bool, bool, float]:
    """Of several freezes the strongest is reported, of these the widest, of these the one that ends last."""
    return freeze.mode is not Mode.FREEZE, freeze.scope != ALL, -freeze.end


def crowded(standing: Iterable[Freeze], wanted: Iterable[Freeze], most: int) -> Freeze | None:
    """One that is wanted and for which there is no room where `most` may stand; None if there is room for all.

    What renews another takes its place. A scope's first freeze, and its first hold, has room always: the switch works
    however many stand elsewhere.
    """
    standing = tuple(standing)
    further = [f for f in wanted if not any(f.renews(g) for g in standing)]
    if len(standing) + len(further) <= most:
        return None
    taken = {(f.scope, f.mode) for f in standing}
    return next((f for f in further if (f.scope, f.mode) in taken), None)


def ends_of(freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float) -> dict[Freeze, float]:
    """When each freeze ends by itself, on the clock that never jumps (`now`).

    What is `known` stands, so a wall clock that jumps later ends none early; for the others `wall` is all there is.
    """
    return {freeze: known.get(freeze, now + freeze.end - wall) for freeze in freezes}


def describe_freeze(freeze: Freeze) -> str:
    """A freeze in words."""
    what = "all services are" if freeze.scope == ALL else f"{freeze.scope} is"
    verb = "frozen" if freeze.mode is Mode.FREEZE else "on hold"
    end = "" if freeze.until is None else f" (until {datetime.fromtimestamp(freeze.until, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return f"{what} {verb} by {freeze.who}: {freeze.reason}{end}"


def describe_standing(standing: Sequence[Freeze]) -> str:
    """What is said, behind why a freeze ended, of those that still stand; nothing where none does."""
    if not standing:
        return ""
    more = f", and {len(standing) - 1} more" if len(standing) > 1 else ""
    return f"; still in force: {describe_freeze(standing[0])}{more}"
