"""View -> Routing: what the proxies of one fleet are to do, before any of it is spelt in Envoy's words.

A `Routing` can only be built valid: weights that total 10 000, the canary first, only clusters that exist, never a
share of traffic for a version without endpoints. Anything else is a `RoutingError`, never a guess.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

from controller.core.spec import Endpoint, Listen
from controller.core.units import PARTS
from controller.core.view import FIXED_RESPONSE, ServiceState, View


class RoutingError(ValueError):
    """The view cannot be served. The message says which service and why."""


def cluster_name(service: str, version: str) -> str:
    """The name of a version's cluster. The slash occurs in no service or version name."""
    return f"{service}/{version}"


def cluster_parts(name: str) -> tuple[str, str] | None:
    """(service, version) of a cluster's name; None if it is not one of ours."""
    service, slash, version = name.partition("/")
    return (service, version) if slash and service and version else None


def stats_name(cluster: str) -> str:
    """A cluster's name in Envoy's statistics, which are cut at dots. No name of ours holds an equals sign."""
    return cluster.replace(".", "=")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The servers of one version of one service."""

    name: str
    protocol: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """A prefix of one service and how its traffic is split: (cluster, weight), the canary first, total 10 000.

    With `fixed` (status, body) the proxies answer by themselves, and `split` is empty.
    """

    service: str
    prefix: str
    timeout: float
    split: tuple[tuple[str, int], ...]
    fixed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        if self.fixed and not self.split:
            return
        if sum(weight for _, weight in self.split) != PARTS or any(weight <= 0 for _, weight in self.split):
            raise RoutingError(f"{self.service}: weights {dict(self.split)} are not positive parts of {PARTS}")


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One set of host names and its routes, the longest prefix first."""

    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """One address with the virtual hosts behind it."""

    listen: Listen
    hosts: tuple[VirtualHost, ...]

    @property
    def name(self) -> str:
        """Its name, and that of its route table."""
        return str(self.listen)


@dataclass(frozen=True, slots=True)
class Routing:
    """All that one fleet serves at one revision. `services` are the routes by service, for proxyless clients."""

    revision: int
    clusters: tuple[Cluster, ...]
    listeners: tuple[Listener, ...]
    services: tuple[Route, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One service as it is served: what does not depend on the others."""

    state: ServiceState
    clusters: tuple[Cluster, ...]
    route: Route


def serve(state: ServiceState) -> Served:
    """That service, routed. RoutingError if it cannot be."""
    return Served(state, tuple(_clusters(state)), _route(state))


def route(view: View, fleet: str) -> Routing:
    """The routing of that fleet at the view's revision. RoutingError if it cannot be right."""
    states = [state for state in view.services.values() if state.spec.in_fleet(fleet)]
    if problems := clashes(states):
        raise RoutingError("; ".join(problems))
    return join(view.revision, map(serve, states))


def join(revision: int, services: Iterable[Served]) -> Routing:
    """The routing of these services together, which do not clash (`servable`, `clashes`)."""
    ordered = sorted(services, key=lambda served: served.state.name)
    clusters = tuple(cluster for served in ordered for cluster in served.clusters)
    routes = {served.state.name: served.route for served in ordered}
    return Routing(revision, clusters, _listeners([s.state for s in ordered], routes), tuple(routes.values()))


def fleets(view: View) -> frozenset[str]:
    """The fleets that the services name."""
    return frozenset(fleet for state in view.services.values() for fleet in state.spec.fleets)


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
        _route(state)
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


def _clusters(state: ServiceState) -> Iterable[Cluster]:
    spec = state.spec
    return (Cluster(cluster_name(spec.name, v.name), spec.protocol, v.endpoints) for v in spec.versions if v.endpoints)


def _route(state: ServiceState) -> Route:
    spec = state.spec
    if FIXED_RESPONSE in state.weights and spec.fallback:
        return Route(spec.name, spec.prefix, spec.timeout, (), (spec.fallback.status, spec.fallback.body))
    live = {version: weight for version, weight in state.weights.items() if weight > 0}
    for version in live:
        declared = spec.version(version)
        if declared is None or not declared.endpoints:
            raise RoutingError(f"{spec.name}: {version} carries traffic but has no endpoints")
    split = tuple((cluster_name(spec.name, version), weight) for version, weight in live.items())
    return Route(spec.name, spec.prefix, spec.timeout, split)


def _listeners(states: list[ServiceState], routes: dict[str, Route]) -> tuple[Listener, ...]:
    def place(state: ServiceState) -> tuple[str, int]:
        return state.spec.listen.address, state.spec.listen.port

    ordered = sorted(states, key=place)
    return tuple(
        Listener(Listen(address=address, port=port), _virtual_hosts(list(group), routes))
        for (address, port), group in groupby(ordered, key=place)
    )


def _virtual_hosts(states: list[ServiceState], routes: dict[str, Route]) -> tuple[VirtualHost, ...]:
    """Envoy wants each domain in one virtual host, so services with the same hosts share one."""
    by_domain: dict[str, list[str]] = {}
    for state in states:
        for domain in state.spec.hosts:
            by_domain.setdefault(domain, []).append(state.name)
    by_services: dict[tuple[str, ...], list[str]] = {}
    for domain, names in by_domain.items():
        by_services.setdefault(tuple(sorted(names)), []).append(domain)
    return tuple(
        VirtualHost(
            tuple(sorted(domains)),
            tuple(sorted((routes[n] for n in names), key=_by_prefix)) if len(names) > 1 else (routes[names[0]],),
        )
        for names, domains in sorted(by_services.items())
    )


def _by_prefix(route: Route) -> tuple[int, str]:
    return -len(route.prefix), route.prefix
