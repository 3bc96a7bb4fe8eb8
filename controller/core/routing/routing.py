"""View -> Routing: what the proxies of one fleet serve, independent of Envoy's messages.

A `Routing` can only be built valid: weights total 10 000, the canary comes first, every cluster exists, and no version
without endpoints has a share of the traffic. Anything else raises `RoutingError`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType

from controller.core.model.cluster_names import Role, cluster_name
from controller.core.model.service import Endpoint, Listen, Version
from controller.core.model.service_state import ServiceState
from controller.core.model.upstream import Upstream, UpstreamLimits
from controller.core.model.view import View
from controller.core.routing.route import Route, cluster_ids, current_stable, routes_of

SourcedVersions = Mapping[str, tuple[Endpoint, ...]]
"""Version -> the endpoints that its source has, of the versions whose sources have been read."""
NONE_SOURCED: SourcedVersions = MappingProxyType({})

MIRROR_LIMITS = UpstreamLimits(connections=100, pending=100, requests=100)
"""Copies at a time: beyond these they are dropped. A version that hangs would hold each until its timeout."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The endpoints of one version of one service, and how to reach them.

    With `members` it has no endpoints: the first attempt of a request goes to the first of these clusters, the second
    to the second. With `version` each endpoint says in its metadata of which version it is. `endpoints` is None while
    their source has yet to be read: a proxy keeps those that it has.
    """

    name: str
    upstream: Upstream
    endpoints: tuple[Endpoint, ...] | None
    members: tuple[str, ...] = ()
    version: str = ""
    envoy: str = ""
    """Envoy's own fields, as JSON: see `EnvoyFields`."""


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """One set of host names and its routes, exact paths first, then the longest prefix."""

    domains: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class RouteConfiguration:
    """The virtual hosts of the services that share it. `listen` is its listener, which has the same name; None: it is
    the operator's own, which names this one."""

    name: str
    listen: Listen | None
    hosts: tuple[VirtualHost, ...]
    streaming: bool = False
    """Whether some service in it responds with streams."""


@dataclass(frozen=True, slots=True)
class Routing:
    """Everything that one fleet serves at one revision. `services` has the routes of each service, for proxyless
    clients."""

    revision: int
    clusters: tuple[Cluster, ...]
    configurations: tuple[RouteConfiguration, ...]
    services: Mapping[str, tuple[Route, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class RoutedService:
    """One service as it is routed: its clusters and routes, which do not depend on other services."""

    state: ServiceState
    clusters: tuple[Cluster, ...]
    routes: tuple[Route, ...]
    sourced: SourcedVersions = field(default_factory=dict)


def route_service(state: ServiceState, sourced: SourcedVersions = NONE_SOURCED) -> RoutedService:
    """The clusters and the routes of that service. RoutingError if a version with traffic has no endpoints.

    `sourced` has the endpoints of the versions whose sources have been read.
    """
    return RoutedService(state, tuple(_clusters(state, sourced)), routes_of(state), sourced)


def join_services(revision: int, services: Iterable[RoutedService]) -> Routing:
    """The routing of these services together. They must not clash: see `find_clashes` and `servable_view`."""
    ordered = sorted(services, key=lambda service: service.state.name)
    clusters = tuple(cluster for service in ordered for cluster in service.clusters)
    routes = {service.state.name: service.routes for service in ordered}
    return Routing(revision, clusters, _configurations([s.state for s in ordered], routes), routes)


def named_fleets(view: View) -> frozenset[str]:
    """The fleets that any service names."""
    return frozenset(fleet for state in view.services.values() for fleet in state.spec.fleets)


def _clusters(state: ServiceState, sourced: SourcedVersions) -> Iterable[Cluster]:
    spec = state.spec
    for cluster in () if spec.own_clusters else cluster_ids(state):
        version, name = spec.version(cluster.version), cluster_name(*cluster)
        if cluster.role is Role.SHIELDED:
            after = cluster_name(spec.name, current_stable(state), Role.SHIELD)
            yield Cluster(name, Upstream(), (), members=(cluster_name(spec.name, cluster.version), after))
        elif version:
            label = version.name if spec.shield else ""
            upstream = spec.upstream_of(version)
            if cluster.role is Role.MIRROR:
                upstream = upstream.model_copy(update={"limits": MIRROR_LIMITS})
            endpoints = _endpoints(version, sourced)
            yield Cluster(name, upstream, endpoints, version=label, envoy=spec.envoy.cluster)


def _endpoints(version: Version, sourced: SourcedVersions) -> tuple[Endpoint, ...] | None:
    """Those that the file declares, or what their source says; None while that is not known."""
    return sourced.get(version.name) if version.source else version.endpoints


def _configurations(
    states: list[ServiceState], routes: Mapping[str, tuple[Route, ...]]
) -> tuple[RouteConfiguration, ...]:
    def place(state: ServiceState) -> str:
        return state.spec.route_configuration

    groups = ((name, list(group)) for name, group in groupby(sorted(states, key=place), key=place))
    # The services of one address agree in everything under `listen`.
    return tuple(
        RouteConfiguration(
            name, group[0].spec.listen, _virtual_hosts(group, routes), any(state.spec.streaming for state in group)
        )
        for name, group in groups
    )


def _virtual_hosts(states: list[ServiceState], routes: Mapping[str, tuple[Route, ...]]) -> tuple[VirtualHost, ...]:
    """Envoy allows each domain in one virtual host only, so services with the same hosts share one."""
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
            tuple(sorted((route for name in names for route in routes[name]), key=_by_path)),
        )
        for names, domains in sorted(by_services.items())
    )


def _by_path(route: Route) -> tuple[bool, int, str]:
    """Routes of one path stay in their order: all are of one service."""
    return not route.match.exact, -len(route.match.path), route.match.path
