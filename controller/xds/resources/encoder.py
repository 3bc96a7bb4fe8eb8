"""Routing -> Snapshot: each service and each virtual host is encoded once for all fleets, until it changes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from controller.core.model.cluster_names import cluster_name
from controller.core.model.service import Listen
from controller.core.routing.route import proxyless_routes
from controller.core.routing.routing import Cluster, RouteConfiguration, RoutedService, Routing, VirtualHost
from controller.xds.resources import cluster_messages, listener_messages, route_messages
from controller.xds.resources.catalogue import EMPTY_CATALOGUE, Catalogue, make_catalogue
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.resource import (
    EncodedVirtualHost,
    Resource,
    Resources,
    make_resource,
    make_route_configuration,
)
from controller.xds.resources.resource_version import content_hash
from controller.xds.resources.snapshot import Snapshot, removed_clusters
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ServiceResources:
    """The resources of one service alone. `named` ones are for proxyless clients, which subscribe by name."""

    clusters: Resources
    named_clusters: Resources
    endpoints: Resources
    named_listeners: Resources
    named_route_configurations: Resources


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes for one store at one revision; what was encoded before comes from the cache, with its version."""

    store: str
    revision: int
    cache: RecentCache

    def snapshot(self, routing: Routing, services: Iterable[RoutedService], before: Snapshot | None) -> Snapshot:
        """The snapshot of a routing and its services. What did not change since `before` is the same object."""
        encoded = [self.cache.get(served, self._service, served) for served in services]
        configurations = {
            each.name: self._route_configuration(each.name, each.hosts) for each in routing.configurations
        }
        plain, counting = (
            {c.name: self._one(LDS, c.name, c.listen, make(c)) for c in routing.configurations if c.listen}
            for make in (_plain_listener, _counting_listener)
        )
        named_listeners = _merged(e.named_listeners for e in encoded)
        by_type = {
            CDS: (_merged(e.clusters for e in encoded), _merged(e.named_clusters for e in encoded)),
            EDS: (_merged(e.endpoints for e in encoded), {}),
            LDS: (plain, named_listeners),
            RDS: (configurations, _merged(e.named_route_configurations for e in encoded)),
        }
        catalogues = {url: self._catalogue(url, *each, before) for url, each in by_type.items()}
        with_loggers = self._catalogue(LDS, counting, named_listeners, before.counting if before else None)
        routes = _routes(routing, catalogues[RDS].find)
        removed = removed_clusters(before, catalogues[CDS].listed, self.revision)
        snapshot = Snapshot(self.store, self.revision, catalogues, routes, removed)
        return replace(snapshot, counting=replace(snapshot, catalogues={**catalogues, LDS: with_loggers}))

    def _catalogue(self, type_url: str, listed: Resources, named: Resources, before: Snapshot | None) -> Catalogue:
        known = before.catalogue(type_url) if before else EMPTY_CATALOGUE
        return make_catalogue(self.store, self.revision, listed, named, before=known)

    def _service(self, served: RoutedService) -> ServiceResources:
        name = served.state.name
        configuration = listener_messages.proxyless_configuration(name)
        # Of a source that has yet to be read there is nothing to say: a proxy keeps the endpoints that it has.
        with_eds = [c for c in served.clusters if c.endpoints is not None and cluster_messages.uses_eds(c)]
        proxyless = [c for c in served.clusters if cluster_messages.differs_for_proxyless(c)]
        plain = VirtualHost(("*",), proxyless_routes(served.routes))
        host = self._virtual_host(plain, route_messages.proxyless_virtual_host)
        routes, own = self._make_route_configuration(configuration, (host,)), served.state.spec.own_clusters
        return ServiceResources(
            clusters=self._many(CDS, served.clusters, cluster_messages.cluster),
            named_clusters=self._many(CDS, proxyless, cluster_messages.proxyless_cluster),
            endpoints=self._many(EDS, with_eds, cluster_messages.load_assignment),
            # A client without a proxy has no clusters but those that it is served.
            named_listeners={} if own else {name: self._one(LDS, name, name, listener_messages.api_listener)},
            named_route_configurations={} if own else {configuration: routes},
        )

    def _route_configuration(self, name: str, hosts: Iterable[VirtualHost]) -> Resource:
        encoded = tuple(self.cache.get(host, self._virtual_host, host, route_messages.virtual_host) for host in hosts)
        return self.cache.get((name, encoded), self._make_route_configuration, name, encoded)

    def _make_route_configuration(self, name: str, hosts: tuple[EncodedVirtualHost, ...]) -> Resource:
        return make_route_configuration(name, hosts, self.store, self.revision)

    def _virtual_host(self, host: VirtualHost, make: Callable[[VirtualHost, str], bytes]) -> EncodedVirtualHost:
        services = frozenset(route.service for route in host.routes)
        name = "+".join(sorted(services))
        body = make(host, name)
        clusters = frozenset(cluster for route in host.routes for cluster in route.clusters)
        own = frozenset(cluster_name(route.service, version) for route in host.routes for _, version in route.own)
        return EncodedVirtualHost(name, content_hash(body), body, frozenset(host.domains), clusters, services, own)

    def _many(self, type_url: str, clusters: Iterable[Cluster], make: Callable[[Cluster], bytes]) -> Resources:
        return {cluster.name: self._one(type_url, cluster.name, cluster, make) for cluster in clusters}

    def _one(self, type_url: str, name: str, value: T, make: Callable[[T], bytes]) -> Resource:
        return self.cache.get((make, value), self._make, type_url, name, value, make)

    def _make(self, type_url: str, name: str, value: T, make: Callable[[T], bytes]) -> Resource:
        return make_resource(type_url, name, make(value), self.store, self.revision)


def _plain_listener(_: RouteConfiguration) -> Callable[[Listen], bytes]:
    return listener_messages.listener_without_loggers


def _counting_listener(of: RouteConfiguration) -> Callable[[Listen], bytes]:
    return listener_messages.streaming_listener if of.streaming else listener_messages.listener


def _merged(groups: Iterable[Resources]) -> Resources:
    merged: dict[str, Resource] = {}
    for group in groups:
        merged |= group
    return merged


def _routes(routing: Routing, find: Callable[[str], Resource | None]) -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Service -> route configuration -> the content hashes of the virtual hosts in it with the service's routes."""
    routes: dict[str, dict[str, frozenset[str]]] = {service: {} for service in routing.services}
    for each in routing.configurations:
        configuration = find(each.name)
        encoded = configuration.virtual_hosts if configuration else ()
        for host, virtual_host in zip(encoded, each.hosts, strict=True):
            for route in virtual_host.routes:
                places = routes[route.service]
                places[each.name] = places.get(each.name, frozenset()) | {host.content}
    for service, places in routes.items():
        name = listener_messages.proxyless_configuration(service)
        configuration = find(name)
        hosts = configuration.virtual_hosts if configuration else ()
        places[name] = frozenset(host.content for host in hosts)
    return routes
