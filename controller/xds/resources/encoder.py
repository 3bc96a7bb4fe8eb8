"""Routing -> Snapshot: each service and each virtual host is encoded once for all fleets, until it changes."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple, TypeVar

from controller.core.model.cluster_names import cluster_name
from controller.core.model.service import Listen
from controller.core.routing.route import proxyless_routes
from controller.core.routing.routing import Cluster, RouteConfiguration, RoutedService, Routing, VirtualHost
from controller.xds.resources import cluster_messages, listener_messages, route_messages
from controller.xds.resources.catalogue import EMPTY_CATALOGUE, Catalogue, make_catalogue
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.resource import (
    NO_RESOURCES,
    EncodedVirtualHost,
    Resource,
    Resources,
    make_resource,
    make_route_configuration,
)
from controller.xds.resources.resource_version import content_hash
from controller.xds.resources.snapshot import Routes, Snapshot, removed_clusters
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS

T = TypeVar("T")


_Made = Mapping[Hashable, Resource]
"""Resources by what they were made of."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceResources:
    """The resources of one service alone. `named` ones are for proxyless clients, which subscribe by name."""

    clusters: Resources
    named_clusters: Resources
    endpoints: Resources
    named_listeners: Resources
    named_route_configurations: Resources
    made: _Made
    """Those of a type that has one resource for each cluster."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFleet:
    """What a fleet is served, and what that was made of: the next one takes from it what did not change."""

    routing: Routing
    services: Mapping[str, ServiceResources]
    snapshot: Snapshot

    def at(self, revision: int) -> "EncodedFleet":
        """The same at a later revision, which changes none of it."""
        snapshot = self.snapshot
        counting = replace(snapshot.counting, revision=revision) if snapshot.counting else None
        return replace(self, snapshot=replace(snapshot, revision=revision, counting=counting))


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes for one store at one revision. `cache` shares what was encoded between fleets."""

    store: str
    revision: int
    cache: RecentCache

    def fleet(self, routing: Routing, before: EncodedFleet | None) -> EncodedFleet:
        """What a fleet with that routing is served. What did not change since `before` is the same object, and costs
        next to nothing."""
        known, last = (before.services, before.routing.services) if before else ({}, {})
        changed = {name: each for name, each in routing.services.items() if last.get(name) is not each}
        fresh = {name: self.cache.get(each, self._service, each, known.get(name)) for name, each in changed.items()}
        stale = [each for name, each in known.items() if name in fresh or name not in routing.services]
        services = {name: fresh.get(name) or known[name] for name in routing.services}
        snapshot = self._snapshot(routing, _Changes(before, stale, fresh))
        return EncodedFleet(routing, services, snapshot)

    def _snapshot(self, routing: Routing, changes: "_Changes") -> Snapshot:
        before = changes.before.snapshot if changes.before else None
        configurations, plain, counting = self._configurations(routing, changes.before)
        named_listeners = changes.merged(LDS, _NAMED_LISTENERS)
        by_type = {
            CDS: (changes.merged(CDS, _CLUSTERS), changes.merged(CDS, _NAMED_CLUSTERS)),
            EDS: (changes.merged(EDS, _ENDPOINTS), NO_RESOURCES),
            LDS: (plain, named_listeners),
            RDS: (configurations, changes.merged(RDS, _NAMED_ROUTE_CONFIGURATIONS)),
        }
        catalogues = {url: self._catalogue(url, *each, before) for url, each in by_type.items()}
        with_loggers = self._catalogue(LDS, counting, named_listeners, before.counting if before else None)
        routes = _Routes(before, changes.fresh).of(routing, catalogues[RDS].listed)
        removed = removed_clusters(before, catalogues[CDS].listed, self.revision)
        snapshot = Snapshot(self.store, self.revision, catalogues, routes, removed)
        return replace(snapshot, counting=replace(snapshot, catalogues={**catalogues, LDS: with_loggers}))

    def _catalogue(self, type_url: str, listed: Resources, named: Resources, before: Snapshot | None) -> Catalogue:
        known = before.catalogue(type_url) if before else EMPTY_CATALOGUE
        return make_catalogue(self.store, self.revision, listed, named, before=known)

    def _service(self, served: RoutedService, before: ServiceResources | None) -> ServiceResources:
        name, made = served.state.name, dict[Hashable, Resource]()
        known = before.made if before else {}

        def many(type_url: str, clusters: Iterable[Cluster], make: Callable[[Cluster], bytes]) -> Resources:
            resources = {}
            for each in clusters:
                key = make, each
                made[key] = resources[each.name] = known.get(key) or self._make(type_url, each.name, each, make)
            return resources

        configuration = listener_messages.proxyless_configuration(name)
        # Of a source that has yet to be read there is nothing to say: a proxy keeps the endpoints that it has.
        with_eds = [c for c in served.clusters if c.endpoints is not None and cluster_messages.uses_eds(c)]
        proxyless = [c for c in served.clusters if cluster_messages.differs_for_proxyless(c)]
        plain = VirtualHost(("*",), proxyless_routes(served.routes))
        host = self._virtual_host(plain, route_messages.proxyless_virtual_host)
        routes, own = self._make_route_configuration(configuration, (host,)), served.state.spec.own_clusters
        return ServiceResources(
            clusters=many(CDS, served.clusters, cluster_messages.cluster),
            named_clusters=many(CDS, proxyless, cluster_messages.proxyless_cluster),
            endpoints=many(EDS, with_eds, cluster_messages.load_assignment),
            # A client without a proxy has no clusters but those that it is served.
            named_listeners={} if own else {name: self._make(LDS, name, name, listener_messages.api_listener)},
            named_route_configurations={} if own else {configuration: routes},
            made=made,
        )

    def _configurations(self, routing: Routing, before: EncodedFleet | None) -> tuple[Resources, Resources, Resources]:
        """The route configurations, and their listeners without and with the loggers."""
        routes: dict[str, Resource] = {}
        plain: dict[str, Resource] = {}
        counting: dict[str, Resource] = {}
        for name, each in routing.configurations.items():
            known = before.routing.configurations.get(name) if before else None
            if before and known is each:
                snapshot = before.snapshot
                routes[name] = snapshot.catalogue(RDS).listed[name]
                if each.listen and snapshot.counting:
                    plain[name] = snapshot.catalogue(LDS).listed[name]
                    counting[name] = snapshot.counting.catalogue(LDS).listed[name]
                continue
            encoded = before.snapshot.catalogue(RDS).listed[name].virtual_hosts if before and known else ()
            routes[name] = self._route_configuration(each, known.hosts if known else (), encoded)
            if each.listen:
                plain[name] = self._listener(each, listener_messages.listener_without_loggers)
                with_loggers = listener_messages.streaming_listener if each.streaming else listener_messages.listener
                counting[name] = self._listener(each, with_loggers)
        return routes, plain, counting

    def _route_configuration(
        self, of: RouteConfiguration, before: tuple[VirtualHost, ...], encoded: tuple[EncodedVirtualHost, ...]
    ) -> Resource:
        """`before`: its virtual hosts as they were last, and these encoded."""
        # By identity: to hash all of its virtual hosts takes longer than anything else here.
        known = {id(host): each for host, each in zip(before, encoded, strict=True)}
        hosts = tuple(
            known.get(id(host)) or self.cache.get(host, self._virtual_host, host, route_messages.virtual_host)
            for host in of.hosts
        )
        return self.cache.get((of.name, hosts), self._make_route_configuration, of.name, hosts)

    def _listener(self, of: RouteConfiguration, make: Callable[[Listen], bytes]) -> Resource:
        return self.cache.get((make, of.listen), self._make, LDS, of.name, of.listen, make)

    def _make_route_configuration(self, name: str, hosts: tuple[EncodedVirtualHost, ...]) -> Resource:
        return make_route_configuration(name, hosts, self.store, self.revision)

    def _virtual_host(self, host: VirtualHost, make: Callable[[VirtualHost, str], bytes]) -> EncodedVirtualHost:
        services = frozenset(route.service for route in host.routes)
        name = "+".join(sorted(services))
        body = make(host, name)
        clusters = frozenset(cluster for route in host.routes for cluster in route.clusters)
        own = frozenset(cluster_name(route.service, version) for route in host.routes for _, version in route.own)
        return EncodedVirtualHost(name, content_hash(body), body, frozenset(host.domains), clusters, services, own)

    def _make(self, type_url: str, name: str, value: T, make: Callable[[T], bytes]) -> Resource:
        return make_resource(type_url, name, make(value), self.store, self.revision)


@dataclass(frozen=True, slots=True)
class _Changes:
    """The resources of the services that are no longer as they were, and those that are there instead."""

    before: EncodedFleet | None
    stale: list[ServiceResources]
    fresh: Mapping[str, ServiceResources]

    def merged(self, type_url: str, of: "_Kind") -> Resources:
        """All services' resources of that kind: the mapping that was there before, if nothing has changed."""
        before: Resources = NO_RESOURCES
        if self.before:
            catalogue = self.before.snapshot.catalogue(type_url)
            before = catalogue.named if of.named else catalogue.listed
        merged = dict(before)
        fresh = {name: resource for each in self.fresh.values() for name, resource in of.get(each).items()}
        for each in self.stale:
            for name in of.get(each):
                if name not in fresh:
                    merged.pop(name, None)
        changed = False
        for name, resource in fresh.items():
            known = before.get(name)
            if known is None or known.content != resource.content:
                merged[name], changed = resource, True
        return merged if changed or len(merged) != len(before) else before


class _Kind(NamedTuple):
    """One of the resources of a service, and whether clients subscribe to it by name."""

    get: Callable[[ServiceResources], Resources]
    named: bool


_CLUSTERS = _Kind(attrgetter("clusters"), named=False)
_NAMED_CLUSTERS = _Kind(attrgetter("named_clusters"), named=True)
_ENDPOINTS = _Kind(attrgetter("endpoints"), named=False)
_NAMED_LISTENERS = _Kind(attrgetter("named_listeners"), named=True)
_NAMED_ROUTE_CONFIGURATIONS = _Kind(attrgetter("named_route_configurations"), named=True)


class _Routes:
    """Finds the routes of each service again where they are not as they were."""

    def __init__(self, before: Snapshot | None, fresh: Mapping[str, ServiceResources]) -> None:
        """`fresh` are the services that are not as they were `before`."""
        self._known: Routes = before.routes if before else {}
        self._last = before.catalogue(RDS).listed if before else NO_RESOURCES
        self._fresh = fresh
        self._changed: dict[str, dict[str, frozenset[str]]] = {}

    def of(self, routing: Routing, configurations: Resources) -> Routes:
        """The routes of the services of that routing, whose route configurations are these."""
        for name in {**self._last, **configurations}:
            old, new = (each.get(name) for each in (self._last, configurations))
            if old is not new:
                self._change(name, *(frozenset(each.virtual_hosts) if each else frozenset() for each in (old, new)))
        for service, resources in self._fresh.items():
            name = listener_messages.proxyless_configuration(service)
            proxyless = resources.named_route_configurations.get(name)
            self._places(service)[name] = proxyless.host_contents if proxyless else frozenset()
        routes = {name: places for name, places in self._known.items() if name in routing.services}
        for service in self._changed.keys() & routing.services.keys():
            places = self._changed[service]
            # Of a configuration in which it no longer has a virtual host nothing is left.
            routes[service] = {name: of for name, of in places.items() if of or name not in self._last}
        return routes

    def _change(self, name: str, old: frozenset[EncodedVirtualHost], new: frozenset[EncodedVirtualHost]) -> None:
        for host in old - new:
            for service in host.services:
                places = self._places(service)
                places[name] = places[name] - {host.content}
        for host in new - old:
            for service in host.services:
                places = self._places(service)
                places[name] = places.get(name, frozenset()) | {host.content}

    def _places(self, service: str) -> dict[str, frozenset[str]]:
        if service not in self._changed:
            self._changed[service] = dict(self._known.get(service, {}))
        return self._changed[service]
