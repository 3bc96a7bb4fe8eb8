"""Routing -> Snapshot: each service and each virtual host encoded once, for all fleets and until it changes."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from controller.core.routing.routing import Cluster, RoutedService, Routing, VirtualHost
from controller.xds import resources
from controller.xds.snapshot import (
    CDS,
    EDS,
    EMPTY,
    LDS,
    RDS,
    Part,
    Resource,
    Resources,
    Snapshot,
    departed,
    make_catalogue,
    make_resource,
    make_table,
)
from controller.xds.versions import content_hash

T = TypeVar("T")


class Cache:
    """What was made, by what it was made of. `forget` drops what was not asked for since it was called last."""

    def __init__(self) -> None:
        self._new: dict[Hashable, object] = {}
        self._old: dict[Hashable, object] = {}

    def get(self, key: Hashable, make: Callable[..., T], *given: object) -> T:
        """What `make(*given)` made for that key."""
        found = self._new.get(key) or self._old.get(key) or make(*given)
        self._new[key] = found
        return found  # type: ignore[return-value]

    def forget(self) -> None:
        """Keep what was asked for since the last time."""
        self._old, self._new = self._new, {}


@dataclass(frozen=True, slots=True, eq=False)
class ServiceResources:
    """What one service needs for itself. `named` are for proxyless clients, which ask by name."""

    clusters: Resources
    named_clusters: Resources
    assignments: Resources
    named_listeners: Resources
    named_tables: Resources


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encodes for one store at one revision; what was encoded before is found in the cache, with its version."""

    store: str
    revision: int
    cache: Cache

    def snapshot(self, found: Routing, services: Iterable[RoutedService], before: Snapshot | None) -> Snapshot:
        """The snapshot of a routing and the services in it. What did not change since `before` is the same object."""
        made = [self.cache.get(served, self._service, served) for served in services]
        tables = {each.name: self._table(each.name, each.hosts) for each in found.listeners}
        listeners = {each.name: self._one(LDS, each.name, each.listen, resources.listener) for each in found.listeners}
        choices = {
            CDS: (_merged(m.clusters for m in made), _merged(m.named_clusters for m in made)),
            EDS: (_merged(m.assignments for m in made), {}),
            LDS: (listeners, _merged(m.named_listeners for m in made)),
            RDS: (tables, _merged(m.named_tables for m in made)),
        }
        catalogues = {
            url: make_catalogue(
                self.store, self.revision, listed, named, before=before.catalogue(url) if before else EMPTY
            )
            for url, (listed, named) in choices.items()
        }
        routes = _routes(found, catalogues[RDS].find)
        gone = departed(before, catalogues[CDS].listed, self.revision)
        return Snapshot(self.store, self.revision, catalogues, routes, gone)

    def _service(self, served: RoutedService) -> ServiceResources:
        name = served.route.service
        addressed = [c for c in served.clusters if resources.by_address(c)]
        by_name = [c for c in served.clusters if not resources.by_address(c)]
        host = VirtualHost(("*",), (served.route,))
        return ServiceResources(
            clusters=self._many(CDS, served.clusters, resources.cluster),
            named_clusters=self._many(CDS, by_name, resources.proxyless_cluster),
            assignments=self._many(EDS, addressed, resources.assignment),
            named_listeners={name: self._one(LDS, name, name, resources.api_listener)},
            named_tables={name: self._made_table(name, (self._part(host, resources.proxyless_virtual_host),))},
        )

    def _table(self, name: str, hosts: Iterable[VirtualHost]) -> Resource:
        parts = tuple(self.cache.get(host, self._part, host, resources.virtual_host) for host in hosts)
        return self.cache.get((name, parts), self._made_table, name, parts)

    def _made_table(self, name: str, parts: tuple[Part, ...]) -> Resource:
        return make_table(name, parts, self.store, self.revision)

    def _part(self, host: VirtualHost, make: Callable[[VirtualHost, str], bytes]) -> Part:
        name = "+".join(sorted({route.service for route in host.routes}))
        body = make(host, name)
        needs = frozenset(cluster for route in host.routes for cluster, _ in route.split)
        return Part(name, content_hash(body), body, frozenset(host.domains), needs)

    def _many(self, type_url: str, clusters: Iterable[Cluster], make: Callable[[Cluster], bytes]) -> Resources:
        return {cluster.name: self._one(type_url, cluster.name, cluster, make) for cluster in clusters}

    def _one(self, type_url: str, name: str, value: T, make: Callable[[T], bytes]) -> Resource:
        return self.cache.get((make, value), self._made, type_url, name, value, make)

    def _made(self, type_url: str, name: str, value: T, make: Callable[[T], bytes]) -> Resource:
        return make_resource(type_url, name, make(value), self.store, self.revision)


def _merged(pieces: Iterable[Resources]) -> Resources:
    merged: dict[str, Resource] = {}
    for piece in pieces:
        merged |= piece
    return merged


def _routes(found: Routing, table: Callable[[str], Resource | None]) -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Service -> route table -> the content of the virtual hosts in it that hold the service's routes."""
    routes: dict[str, dict[str, frozenset[str]]] = {each.service: {} for each in found.services}
    for name, hosts in [(each.name, each.hosts) for each in found.listeners]:
        made = table(name)
        for part, host in zip(made.parts if made else (), hosts, strict=True):
            for each in host.routes:
                places = routes[each.service]
                places[name] = places.get(name, frozenset()) | {part.content}
    for service, places in routes.items():
        made = table(service)
        places[service] = frozenset(part.content for part in made.parts) if made else frozenset()
    return routes
