"""View -> Routing: what the proxies of one fleet are to do, before any of it is spelt in Envoy's words.

A `Routing` can only be built valid: weights that total 10 000, the canary first, only clusters that exist, never a
share of traffic for a version without endpoints. Anything else is a `RoutingError`, never a guess.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from controller.core.model.cluster_names import cluster_name
from controller.core.model.service import Endpoint, Listen
from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.core.routing.placement import clashes
from controller.core.routing.weighted_route import Route, RoutingError, weighted_route


@dataclass(frozen=True, slots=True)
class Cluster:
    """The servers of one version of one service."""

    name: str
    protocol: str
    endpoints: tuple[Endpoint, ...]


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
    return Served(state, tuple(_clusters(state)), weighted_route(state))


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


def _clusters(state: ServiceState) -> Iterable[Cluster]:
    spec = state.spec
    return (Cluster(cluster_name(spec.name, v.name), spec.protocol, v.endpoints) for v in spec.versions if v.endpoints)


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
