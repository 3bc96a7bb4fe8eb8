"""The part of a view that can be served: one bad service does not take the others down."""

from collections.abc import Mapping
from dataclasses import replace

from controller.core.model.service import Service
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.clashes import Claims
from controller.core.routing.route import RoutingError, routes_of


def servable_view(
    view: View, before: Mapping[str, ServiceState], claims: Claims | None = None
) -> tuple[View, dict[str, str]]:
    """The view without what cannot be served, and service -> what is wrong with it.

    A service that cannot be routed, clashes with another or could not be read is replaced by the state in which it was
    served `before`, if any. A service that moves never displaces one that stays in its place, and a new service never
    displaces one that was served before. The services in `before` were served together, so those that stay in their
    place do not clash. With the same `claims` at each call it costs what has changed since the last one.
    """
    problems = {name: f"the stored record cannot be read: {text}" for name, text in view.broken.items()}
    wanted = dict(view.services) | {name: before[name] for name in view.broken if name in before}
    changed = {name: state for name, state in wanted.items() if before.get(name) is not state}
    movers = {name for name, state in changed.items() if _has_moved(before.get(name), state)}
    served = {name: state for name, state in wanted.items() if name not in movers}
    for name, state in changed.items():
        if name not in movers and (problem := _routing_problem(state)):
            problems[name], served[name] = problem, before[name]
    if movers:
        claims = claims or Claims()
        claims.follow(served)
        problems |= _place_movers({name: wanted[name] for name in movers}, before, served, claims)
    return replace(view, services=served), problems


def _place_movers(
    movers: Mapping[str, ServiceState],
    before: Mapping[str, ServiceState],
    served: dict[str, ServiceState],
    claims: Claims,
) -> dict[str, str]:
    """Add the services that claim a new place to `served`, where that is free, else as they were; what is wrong.
    `claims` has those of the served ones."""
    problems: dict[str, str] = {}
    for name in sorted(movers, key=lambda name: (name not in before, name)):  # those served before come first
        problem = _problem(movers[name], claims)
        choice: ServiceState | None = movers[name]
        if problem:
            problems[name] = problem
            previous = before.get(name)
            choice = previous if previous and not _problem(previous, claims) else None
        if choice:
            claims.add(choice)
            served[name] = choice
    return problems


def _has_moved(before: ServiceState | None, after: ServiceState) -> bool:
    """Whether a service claims another place than it had, or had none."""
    if before is None:
        return True
    old, new = before.spec, after.spec
    return _place(old) != _place(new)


def _place(spec: Service) -> tuple[object, ...]:
    """Everything by which it can clash with another."""
    clusters = {version.cluster for version in spec.versions}
    return spec.listen, spec.route_config, spec.hosts, spec.paths, spec.fleets, clusters


def _problem(state: ServiceState, claims: Claims) -> str:
    """Why this service cannot be served beside the claims; empty if it can."""
    return _routing_problem(state) or "; ".join(text for _, text in claims.clashes_with(state))


def _routing_problem(state: ServiceState) -> str:
    """Why this service cannot be routed, whatever the others are; empty if it can."""
    try:
        routes_of(state)
    except RoutingError as error:
        return str(error)
    return ""
