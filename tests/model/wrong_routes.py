"""Routes that are wrong in one way each, in the place of `routes_of`. The model must catch every one of them."""

from collections.abc import Callable
from dataclasses import replace

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import Role, cluster_name, cluster_parts
from controller.core.model.service_state import ServiceState
from controller.core.routing.route import Route, cluster_ids, routes_of

Routes = Callable[[ServiceState], tuple[Route, ...]]
Change = Callable[[ServiceState, Route], Route]


def pinned(change: Change) -> Routes:
    """Routes in which those of the service's rules are changed."""
    return lambda state: tuple(change(state, route) if route.conditions else route for route in routes_of(state))


def live(change: Change) -> Routes:
    """Routes in which everybody else's is changed."""
    return lambda state: tuple(route if route.conditions else change(state, route) for route in routes_of(state))


def in_role(name: str, role: Role) -> str:
    """The cluster of the same version for other requests."""
    parts = cluster_parts(name)
    assert parts
    return cluster_name(parts.service, parts.version, role)


def judged_pins(_: ServiceState, route: Route) -> Route:
    return replace(route, split=tuple((in_role(name, Role.LIVE), weight) for name, weight in route.split))


def pins_by_weights(state: ServiceState, route: Route) -> Route:
    return replace(route, split=routes_of(state)[-1].split)


def rules_come_last(state: ServiceState) -> tuple[Route, ...]:
    return tuple(reversed(routes_of(state)))


def pins_outlive_the_canary(state: ServiceState, route: Route) -> Route:
    """The rule stays on the canary, also when it is rolled back."""
    if state.rollout and state.spec.match[0].conditions == route.conditions:
        to = cluster_name(state.name, state.rollout.canary, Role.PINNED)
        return replace(route, split=((to, TOTAL_WEIGHT),))
    return route


def copies_of_pins(state: ServiceState, route: Route) -> Route:
    return replace(route, mirror=routes_of(state)[-1].mirror)


def judged_copies(_: ServiceState, route: Route) -> Route:
    return replace(route, mirror=route.mirror and (in_role(route.mirror[0], Role.LIVE), route.mirror[1]))


def copies_for_ever(state: ServiceState, route: Route) -> Route:
    """The version of `mirror` gets copies, whatever weight it has."""
    copied = [cluster for cluster in cluster_ids(state) if cluster.role is Role.MIRROR]
    return replace(route, mirror=(cluster_name(*copied[0]), 1000)) if copied else route


def stable_behind_the_shield(_: ServiceState, route: Route) -> Route:
    """Stable's requests go where second attempts are counted."""
    if not route.options.shield or len(route.split) < 2:
        return route
    canary, (name, weight) = route.split
    return replace(route, split=(canary, (in_role(name, Role.SHIELD), weight)))


def no_shield(_: ServiceState, route: Route) -> Route:
    """The canary has no second way."""
    plain = tuple(
        (in_role(name, Role.LIVE), weight) if name.endswith(Role.SHIELDED) else (name, weight)
        for name, weight in route.split
    )
    return replace(route, split=plain)


def drawn(_: ServiceState, route: Route) -> Route:
    return replace(route, hash_on=None)


def stable_first(_: ServiceState, route: Route) -> Route:
    return replace(route, split=tuple(reversed(route.split)))


def one_more(_: ServiceState, route: Route) -> Route:
    """A basis point of stable's goes to the canary."""
    if len(route.split) < 2:
        return route
    (canary, weight), (stable, rest) = route.split
    return replace(route, split=((canary, weight + 1), (stable, rest - 1)))


WRONG_ROUTES: dict[str, tuple[Routes, str]] = {
    "pinned requests in the judged cluster": (pinned(judged_pins), "where it is judged"),
    "pinned requests split by the weights": (pinned(pins_by_weights), "where it is judged"),
    "a rule behind everybody's route": (rules_come_last, "where it is judged"),
    "a pin stays on what is rolled back": (pinned(pins_outlive_the_canary), "a request pinned to v. goes to"),
    "copies of pinned requests": (pinned(copies_of_pins), "a pinned request is copied"),
    "copies in the judged cluster": (live(judged_copies), "where they are judged"),
    "copies beside a weight": (live(copies_for_ever), "copies beside a live weight"),
    "stable's requests among second attempts": (live(stable_behind_the_shield), "goes where it is not judged"),
    "a canary without its shield": (live(no_shield), "is shielded"),
    "users drawn anew": (live(drawn), "placed by a draw"),
    "stable before the canary": (live(stable_first), "moves users back"),
    "another weight than was decided": (live(one_more), "are served in place of"),
}
"""What is wrong -> the routes, and what the model says of them."""
