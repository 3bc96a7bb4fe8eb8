"""Which services can be served side by side: listeners, hosts and prefixes that do not clash."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.core.routing.weighted_route import RoutingError, weighted_route


def clashes(states: Iterable[ServiceState]) -> list[str]:
    """What stands in the way of serving these together: one text for each pair that claims the same place."""
    found: list[str] = []
    places = _Places()
    for state in sorted(states, key=lambda s: s.name):
        found += places.clashes(state)
        places.take(state)
    return found


def servable(view: View, before: Mapping[str, ServiceState]) -> tuple[View, dict[str, str]]:
    """The view without what cannot be served, and what is wrong with each such service.

    In the place of a service that cannot be routed, clashes with another or could not be read stands the state in
    which it was served `before`, if any. Those that stay in their place come first, then those that move, which
    may have to stay after all: a newcomer never displaces either. Those served `before` were served together, so
    whoever stays in its place clashes with nobody else that does.
    """
    problems = {name: f"the stored record cannot be read: {text}" for name, text in view.broken.items()}
    wanted = dict(view.services) | {name: before[name] for name in view.broken if name in before}
    served: dict[str, ServiceState] = {}
    movers = {name for name, state in wanted.items() if _moved(before.get(name), state)}
    for name, state in wanted.items():
        if name in movers:
            continue
        if state is not before[name] and (wrong := _wrong(state)):
            problems[name] = "; ".join(wrong)
            state = before[name]
        served[name] = state
    places = _Places()
    for state in served.values() if movers else ():
        places.take(state)
    for name in sorted(movers, key=lambda name: (name not in before, name)):  # who is served comes before who is new
        choices = [wanted[name], *([before[name]] if before.get(name, wanted[name]) is not wanted[name] else [])]
        reasons = [_wrong(state) or places.clashes(state) for state in choices]
        if reasons[0]:
            problems[name] = "; ".join(reasons[0])
        good = next((state for state, why in zip(choices, reasons, strict=True) if not why), None)
        if good:
            places.take(good)
            served[name] = good
    return replace(view, services=served), problems


def _moved(before: ServiceState | None, after: ServiceState) -> bool:
    """Whether a service claims another place than it had, or had none."""
    if before is None or before is after:
        return before is None
    old, new = before.spec, after.spec
    return (old.listen, old.hosts, old.prefix, old.fleets) != (new.listen, new.hosts, new.prefix, new.fleets)


def _wrong(state: ServiceState) -> list[str]:
    """Why this service cannot be routed, whatever the others are; empty if it can."""
    try:
        weighted_route(state)
    except RoutingError as error:
        return [str(error)]
    return []


class _Places:
    """Who has claimed what, so that a newcomer is compared only with those that it could clash with."""

    def __init__(self) -> None:
        self._paths: dict[tuple[int, str, str], list[ServiceState]] = {}
        self._ports: dict[tuple[int, bool], list[ServiceState]] = {}

    def take(self, state: ServiceState) -> None:
        """This one is served."""
        for key in _paths(state):
            self._paths.setdefault(key, []).append(state)
        self._ports.setdefault((state.spec.listen.port, state.spec.listen.address in _EVERY), []).append(state)

    def clashes(self, state: ServiceState) -> list[str]:
        """What stands in the way of serving this one too."""
        port, everywhere = state.spec.listen.port, state.spec.listen.address in _EVERY
        rivals = [other for key in _paths(state) for other in self._paths.get(key, ())]
        rivals += self._ports.get((port, True), ())
        rivals += self._ports.get((port, False), ()) if everywhere else ()
        distinct = {other.name: other for other in rivals}
        return [text for _, other in sorted(distinct.items()) if (text := _clash(other, state))]


_EVERY = frozenset(("0.0.0.0", "::"))  # noqa: S104  (compared, not bound)


def _paths(state: ServiceState) -> list[tuple[int, str, str]]:
    spec = state.spec
    return [(spec.listen.port, domain, spec.prefix) for domain in spec.hosts]


def _clash(a: ServiceState, b: ServiceState) -> str:
    one, two = a.spec, b.spec
    if one.fleets and two.fleets and not set(one.fleets) & set(two.fleets):
        return ""
    if one.listen.port != two.listen.port:
        return ""
    if one.listen.address != two.listen.address:
        if {one.listen.address, two.listen.address} & _EVERY:
            return f"{one.listen} of {one.name} and {two.listen} of {two.name} cannot both be bound"
        return ""
    shared = set(one.hosts) & set(two.hosts)
    if shared and one.prefix == two.prefix:
        return f"{one.name} and {two.name} both claim {min(shared)}{one.prefix} on {one.listen}"
    return ""
