"""View -> Routing: what the proxies of one fleet serve, independent of Envoy's messages.

A `Routing` can only be built valid: weights total 10 000, the canary comes first, every cluster exists, and no version
without endpoints has a share of the traffic. Anything else raises `RoutingError`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, eq=False)
class RoutedService:
    """One service as it is routed: its clusters and routes, which do not depend on other services."""

    state: ServiceState
    clusters: tuple[Cluster, ...]
    routes: tuple[Route, ...]
    sourced: SourcedVersions
    configuration: str
    """The name of the route configuration that its routes are in."""


_Names = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SharedHosts:
    """The virtual hosts of one route configuration: by the services that share each, in their order."""

    by_services: Mapping[_Names, VirtualHost]
    by_domain: Mapping[str, _Names]
    """The services that have a domain."""


_NO_HOSTS = SharedHosts({}, {})


@dataclass(frozen=True, slots=True)
class Routing:
    """Everything that one fleet serves at one revision. All by name."""

    revision: int
    services: Mapping[str, RoutedService]
    configurations: Mapping[str, RouteConfiguration]
    hosts: Mapping[str, SharedHosts] = field(repr=False)
    """The virtual hosts of each configuration."""

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """All of them."""
        return tuple(cluster for service in self.services.values() for cluster in service.clusters)


def route_service(state: ServiceState, sourced: SourcedVersions = NONE_SOURCED) -> RoutedService:
    """The clusters and the routes of that service. RoutingError if a version with traffic has no endpoints.

    `sourced` has the endpoints of the versions whose sources have been read.
    """
    clusters, routes = tuple(_clusters(state, sourced)), routes_of(state)
    return RoutedService(state, clusters, routes, sourced, state.spec.route_configuration)


def join_services(revision: int, services: Mapping[str, RoutedService], before: Routing | None = None) -> Routing:
    """The routing of these services together, by name. They must not clash: see `find_clashes` and `servable_view`.

    What did not change since `before` is the same object as there.
    """
    last = before.services if before else {}
    fresh = [each for name, each in services.items() if last.get(name) is not each]
    stale = [each for name, each in last.items() if services.get(name) is not each]
    configurations = dict(before.configurations) if before else {}
    hosts = dict(before.hosts) if before else {}
    for name in {each.configuration for each in (*fresh, *stale)}:
        now, then = ([each for each in group if each.configuration == name] for group in (fresh, stale))
        shared = _share_hosts(services, now, then, hosts.pop(name, _NO_HOSTS))
        configurations.pop(name, None)
        if shared.by_services:
            hosts[name], configurations[name] = shared, _configuration(name, shared, services)
    return Routing(revision, services, dict(sorted(configurations.items())), hosts)


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


def _configuration(name: str, hosts: SharedHosts, services: Mapping[str, RoutedService]) -> RouteConfiguration:
    """The services of one address agree in everything under `listen`."""
    specs = [services[each].state.spec for names in hosts.by_services for each in names]
    values = tuple(hosts.by_services.values())
    return RouteConfiguration(name, specs[0].listen, values, any(spec.streaming for spec in specs))


def _share_hosts(
    services: Mapping[str, RoutedService], fresh: list[RoutedService], stale: list[RoutedService], before: SharedHosts
) -> SharedHosts:
    """Envoy allows each domain in one virtual host only, so services with the same hosts share one.

    `fresh` and `stale` are the services of this configuration that are not as they were `before`, as they are now and
    as they were. Only the virtual hosts of their domains are made again.
    """
    by_domain, by_services = dict(before.by_domain), dict(before.by_services)
    coming: dict[str, set[str]] = {domain: set() for each in stale for domain in each.state.spec.hosts}
    for each in fresh:
        for domain in each.state.spec.hosts:
            coming.setdefault(domain, set()).add(each.state.name)
    gone = {each.state.name for each in stale}
    domains: dict[_Names, set[str]] = {}
    """Of the virtual hosts that have other domains, routes or services now."""
    for domain, names in coming.items():
        old = by_domain.pop(domain, ())
        new = tuple(sorted(names.union(name for name in old if name not in gone)))
        for sharing in filter(None, (old, new)):
            domains.setdefault(sharing, set(known.domains if (known := by_services.get(sharing)) else ()))
        if old:
            domains[old].discard(domain)
        if new:
            domains[new].add(domain)
            by_domain[domain] = new
    for sharing, of in domains.items():
        by_services.pop(sharing, None)
        if of:
            routes = (route for name in sharing for route in services[name].routes)
            by_services[sharing] = VirtualHost(tuple(sorted(of)), tuple(sorted(routes, key=_by_path)))
    return SharedHosts(dict(sorted(by_services.items())), by_domain)


def _by_path(route: Route) -> tuple[bool, int, str]:
    """Routes of one path stay in their order: all are of one service."""
    return not route.match.exact, -len(route.match.path), route.match.path
