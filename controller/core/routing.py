"""View -> Routing: what the proxies of one fleet are to do, before any of it is spelt in Envoy's words.

A `Routing` can only be built valid: weights that total 10 000, the canary first, only clusters that exist, never a
share of traffic for a version without endpoints. Anything else is a `RoutingError`, never a guess.
"""

from collections.abc import Iterable
from dataclasses import dataclass
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


def route(view: View, fleet: str) -> Routing:
    """The routing of that fleet at the view's revision. RoutingError if it cannot be right."""
    states = sorted((s for s in view.services.values() if s.spec.in_fleet(fleet)), key=lambda s: s.name)
    clusters = tuple(cluster for state in states for cluster in _clusters(state))
    routes = {state.name: _route(state) for state in states}
    return Routing(view.revision, clusters, _listeners(states, routes), tuple(routes.values()))


def fleets(view: View) -> frozenset[str]:
    """The fleets that the services name."""
    return frozenset(fleet for state in view.services.values() for fleet in state.spec.fleets)


def clashes(states: Iterable[ServiceState]) -> list[str]:
    """What stands in the way of serving these together: one text for each pair that claims the same place."""
    found = []
    seen: list[ServiceState] = []
    for state in sorted(states, key=lambda s: s.name):
        found += [text for other in seen if (text := _clash(other, state))]
        seen.append(state)
    return found


def _clash(a: ServiceState, b: ServiceState) -> str:
    one, two = a.spec, b.spec
    if one.fleets and two.fleets and not set(one.fleets) & set(two.fleets):
        return ""
    if one.listen.port != two.listen.port:
        return ""
    if one.listen.address != two.listen.address:
        if {one.listen.address, two.listen.address} & {"0.0.0.0", "::"}:  # noqa: S104  (compared, not bound)
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
    problems = clashes(ordered)
    if problems:
        raise RoutingError("; ".join(problems))
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
        VirtualHost(tuple(sorted(domains)), tuple(sorted((routes[n] for n in names), key=_by_prefix)))
        for names, domains in sorted(by_services.items())
    )


def _by_prefix(route: Route) -> tuple[int, str]:
    return -len(route.prefix), route.prefix
