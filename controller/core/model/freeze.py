"""Freezes, and which acts they stop: one function, one truth table.

Precedence: an operator's forced rollback > freeze > automatic rollback and an operator's rollback > hold > everything
that raises or moves weight forward. It is enforced in the store's transaction (`commit_rules.check_change`);
automation asks beforehand too, to wait and say why.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from math import inf
from typing import Any

from controller.core.base.value import Value
from controller.core.model.actor import Actor, Proof
from controller.core.model.stored_proof import StoredProof

ALL = "*"
"""The scope of a freeze of every service."""


class Act(StrEnum):
    """What a change does to the traffic, as far as freezes are concerned."""

    FORCED_ROLLBACK = "forced_rollback"
    """An operator's forced rollback: no freeze stops it."""
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

    @property
    def is_urgent(self) -> bool:
        """Whether it moves traffic away from harm, so that it goes before everything that waits."""
        return self in (Act.FORCED_ROLLBACK, Act.ROLLBACK, Act.FALLBACK)


class Mode(StrEnum):
    """`freeze`: no weight moves, by automation or by ordinary commands. `hold`: no advance and no deletion;
    rollbacks and the fallback stay allowed."""

    FREEZE = "freeze"
    HOLD = "hold"


class Freeze(Value):
    """A freeze or hold in force. Times are Unix seconds; `until` is None for one without an end."""

    scope: str
    mode: Mode = Mode.FREEZE
    reason: str
    who: str
    proof: StoredProof = Proof.CLAIMED
    """How `who` was verified."""
    since: float
    until: float | None = None

    def covers(self, service: str) -> bool:
        """Whether it applies to that service."""
        return self.scope in (ALL, service)

    @property
    def end(self) -> float:
        """When it ends by itself: infinity for one without an end."""
        return inf if self.until is None else self.until

    @property
    def ttl(self) -> float:
        """For how many seconds it was set: infinity for one without an end."""
        return self.end - self.since

    def left(self, wall: float) -> float:
        """The seconds that are left of its ttl at that Unix time: never more than all of it."""
        return min(self.end - wall, self.ttl)

    @property
    def actor(self) -> Actor:
        """Who set it."""
        return Actor(self.who, self.proof)

    def plain(self) -> dict[str, Any]:
        """As JSON values, as the APIs show it."""
        return {**self.model_dump(mode="json", exclude={"proof"}), **self.actor.plain()}

    def renews(self, other: "Freeze") -> bool:
        """Whether it is the same freeze by the same person for the same reason, and ends no earlier."""
        same = (self.scope, self.mode, self.actor, self.reason) == (other.scope, other.mode, other.actor, other.reason)
        return same and self.end >= other.end


STOPS: dict[Mode, frozenset[Act]] = {
    Mode.FREEZE: frozenset({Act.ROLLBACK, Act.ADVANCE, Act.DELETE, Act.FALLBACK}),
    Mode.HOLD: frozenset({Act.ADVANCE, Act.DELETE}),
}
"""The truth table: the acts that each mode stops. Every other act is allowed."""


def blocking_freeze(freezes: Iterable[Freeze], service: str, act: Act) -> Freeze | None:
    """The freeze that stops this act on this service, of several the strongest; None if nothing stops it."""
    return min((f for f in freezes if f.covers(service) and act in STOPS[f.mode]), key=_rank, default=None)


def freezes_over(freezes: Iterable[Freeze], scopes: Sequence[str]) -> tuple[Freeze, ...]:
    """The freezes that apply to any service of these scopes, the strongest first."""
    return tuple(sorted((f for f in freezes if ALL in scopes or f.scope in (ALL, *scopes)), key=_rank))


def _rank(freeze: Freeze) -> tuple[bool, bool, float]:
    """Of several freezes the strongest is reported, of these the widest, of these the one that ends last."""
    return freeze.mode is not Mode.FREEZE, freeze.scope != ALL, -freeze.end


def first_over_limit(standing: Iterable[Freeze], wanted: Iterable[Freeze], most: int) -> Freeze | None:
    """A wanted freeze that would exceed the limit of `most` freezes; None if all are allowed.

    A renewal replaces the freeze that it renews. A scope's first freeze, and its first hold, is always allowed: the
    kill switch works however many freezes there are elsewhere.
    """
    standing = tuple(standing)
    added = [f for f in wanted if not any(f.renews(g) for g in standing)]
    if len(standing) + len(added) <= most:
        return None
    taken = {(f.scope, f.mode) for f in standing}
    return next((f for f in added if (f.scope, f.mode) in taken), None)


def expiry_times(
    freezes: Iterable[Freeze], known: Mapping[Freeze, float], now: float, wall: float, *, arriving: bool
) -> dict[Freeze, float]:
    """When each freeze expires, in seconds of the monotonic clock that shows `now`.

    `known` times are kept, so that a wall clock that jumps later ends none early. The others stand for their ttl from
    now on if they are `arriving`, whatever time it was where they were set. If they have stood for an unknown time
    already, only `wall` tells how much of the ttl is left.
    """
    return {freeze: known.get(freeze, now + (freeze.ttl if arriving else freeze.left(wall))) for freeze in freezes}


def describe_freeze(freeze: Freeze) -> str:
    """A freeze in words."""
    what = "all services are" if freeze.scope == ALL else f"{freeze.scope} is"
    verb = "frozen" if freeze.mode is Mode.FREEZE else "on hold"
    end = "" if freeze.until is None else f" (until {datetime.fromtimestamp(freeze.until, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return f"{what} {verb} by {freeze.actor.described}: {freeze.reason}{end}"


def describe_remaining(standing: Sequence[Freeze]) -> str:
    """The freezes that remain in force, to be appended to why one ended; empty if none does."""
    if not standing:
        return ""
    more = f", and {len(standing) - 1} more" if len(standing) > 1 else ""
    return f"; still in force: {describe_freeze(standing[0])}{more}"
