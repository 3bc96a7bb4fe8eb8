"""The conditions for applying a change, and its result: pure, the same for every backend."""

from collections.abc import Iterable

from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.effect import Effect
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Freeze, blocking_freeze, describe_freeze
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import Conflict, Frozen, ReusedId
from controller.core.model.view import View


def check_sound(change: Change) -> None:
    """ValueError where a change contradicts itself: a fault of the one who made it."""
    if change.state and change.delete:
        raise ValueError("a change cannot both write and delete a record")
    if change.state and change.state.name != change.service:
        raise ValueError(f"the state of {change.state.name!r} in a change of {change.service!r}")
    if (change.state or change.delete) and change.expects is None:
        raise ValueError("a change of a record needs the revision that it was decided on")


def check_repeated(change: Change, earlier: Applied) -> int:
    """The revision of the same change applied earlier; `ReusedId` if that was another change."""
    if earlier.fingerprint != change.fingerprint:
        raise ReusedId(f"the id {change.id!r} was used for another change, at revision {earlier.revision}")
    return earlier.revision


def check_token(token: int, epoch: int) -> None:
    """`Conflict` unless the token is that of the current term."""
    if token != epoch:
        raise Conflict(f"the term of token {token} is over: the current one is {epoch}")


def check_change(change: Change, present: int, freezes: Iterable[Freeze]) -> None:
    """`Conflict` or `Frozen` unless the change fits what is stored: `present` is the record's revision, 0 for none."""
    freezes = tuple(freezes)
    if change.expects is not None and change.expects != present:
        raise Conflict(
            f"{change.service} is at revision {present or 'none'}, decided on was {change.expects or 'none'}"
        )
    present_freezes = frozenset(freezes) if change.lift else frozenset()
    for freeze in change.lift:
        if freeze not in present_freezes:
            raise Conflict(f"the freeze of {freeze.scope} is no longer the one to lift")
    in_force = blocking_freeze(freezes, change.service, change.act)
    if in_force:
        raise Frozen(describe_freeze(in_force))


def effect_of(change: Change, revision: int, freezes: Iterable[Freeze]) -> Effect:
    """What the change does, applied at that revision where these freezes are in force.

    A freeze lasts until it is lifted or over, whoever sets another one: only one that renews it takes its place.
    """
    lifted, renewing = frozenset(change.lift), _by_scope(change.freeze)
    remaining = (f for f in freezes if f not in lifted and not any(g.renews(f) for g in renewing.get(f.scope, ())))
    scopes = {f.scope for f in (*change.freeze, *change.lift)}
    resulting = sorted_by_scope(f for f in (*remaining, *change.freeze) if f.scope in scopes)
    return Effect(
        service=change.service,
        state=change.state and change.state.model_copy(update={"revision": revision}),
        deleted=change.delete,
        freezes=resulting,
        lifted=tuple(sorted(scopes - {f.scope for f in resulting})),
        excluded=change.exclude,
        included=change.include,
    )


def _by_scope(freezes: Iterable[Freeze]) -> dict[str, list[Freeze]]:
    scopes: dict[str, list[Freeze]] = {}
    for freeze in freezes:
        scopes.setdefault(freeze.scope, []).append(freeze)
    return scopes


def after(view: View, effect: Effect, revision: int) -> View:
    """The view once a change with that effect has been applied at that revision."""
    services: dict[str, ServiceState] = dict(view.services)
    broken = dict(view.broken)
    if effect.state or effect.deleted:
        services.pop(effect.service, None)
        broken.pop(effect.service, None)
    if effect.state:
        services[effect.service] = effect.state
    elsewhere = (f for f in view.freezes if f.scope not in effect.scopes)
    freezes = sorted_by_scope((*elsewhere, *effect.freezes))
    return View(view.store_id, revision, services, freezes, broken, _exclusions_after(view, effect))


def _exclusions_after(view: View, effect: Effect) -> tuple[Exclusion, ...]:
    exclusions = {each.node: each for each in view.exclusions}
    exclusions.pop(effect.included, None)
    if effect.excluded:
        exclusions[effect.excluded.node] = effect.excluded
    return tuple(exclusions[node] for node in sorted(exclusions))


def sorted_by_scope(freezes: Iterable[Freeze]) -> tuple[Freeze, ...]:
    """Freezes in the order of their scopes, in each the oldest first."""
    return tuple(sorted(freezes, key=lambda f: (f.scope, f.since)))
