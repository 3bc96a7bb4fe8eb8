"""View -> Snapshot, for each fleet: everything encoded once for each distinct value, and shared."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from controller.core import routing
from controller.core.routing import Routing, VirtualHost, fleets, route
from controller.core.view import View
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
    make_catalogue,
    make_resource,
    make_table,
)
from controller.xds.versions import content_hash

V = TypeVar("V", bound=Hashable)

OTHERS = "*"
"""Stands for every fleet that no service names; no fleet has this name."""


class World:
    """The snapshots of every fleet at the newest revision."""

    def __init__(self) -> None:
        self.revision = 0
        self._named: frozenset[str] = frozenset()
        self._snapshots: dict[str, Snapshot] = {}
        self._cache = Cache()

    def turn(self, view: View) -> bool:
        """Take the next view, unless it is older than the last: whether it was taken."""
        present = self._snapshots.get(OTHERS)
        if present and present.store == view.store_id and view.revision < present.revision:
            return False
        named = fleets(view)
        found = {fleet: route(view, fleet) for fleet in (*named, OTHERS)}
        self._snapshots = {
            # A fleet that was just named goes on from what it was served as one of the others.
            fleet: encode(routing, view.store_id, self._snapshots.get(fleet, present), self._cache)
            for fleet, routing in found.items()
        }
        self._named = named
        self.revision = view.revision
        self._cache.forget()
        return True

    def snapshot(self, fleet: str) -> Snapshot | None:
        """What that fleet is served; None before the first view."""
        return self._snapshots.get(fleet if fleet in self._named else OTHERS)


class Cache:
    """Bytes by the value they were made of. `forget` drops what was not asked for since it was called last."""

    def __init__(self) -> None:
        self._new: dict[Hashable, bytes] = {}
        self._old: dict[Hashable, bytes] = {}

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What `make` made for that key."""
        found = self._new.get(key) or self._old.get(key) or make()
        self._new[key] = found
        return found

    def forget(self) -> None:
        """Keep what was asked for since the last time."""
        self._old, self._new = self._new, {}


def encode(found: Routing, store: str, before: Snapshot | None, cache: Cache) -> Snapshot:
    """The snapshot of a routing. What did not change since `before` is the same object, with the same version."""
    made = _Encoding(found, store, cache)
    choices = {
        CDS: (made.clusters(), made.proxyless_clusters()),
        EDS: (made.assignments(), {}),
        LDS: (made.listeners(), made.api_listeners()),
        RDS: (made.tables(), made.proxyless_tables()),
    }
    catalogues = {
        url: make_catalogue(store, found.revision, listed, named, before=before.catalogue(url) if before else EMPTY)
        for url, (listed, named) in choices.items()
    }
    return Snapshot(store, found.revision, catalogues, _routes(found, catalogues[RDS].find))


class _Encoding:
    """One routing under way to its resources."""

    def __init__(self, found: Routing, store: str, cache: Cache) -> None:
        self._routing = found
        self._store = store
        self._cache = cache

    def clusters(self) -> Resources:
        """For everybody."""
        return self._resources(CDS, {c.name: c for c in self._routing.clusters}, resources.cluster)

    def proxyless_clusters(self) -> Resources:
        """Those that a proxyless client needs in another form."""
        named = {c.name: c for c in self._routing.clusters if not resources.by_address(c)}
        return self._resources(CDS, named, resources.proxyless_cluster)

    def assignments(self) -> Resources:
        """The endpoints of clusters that have them by EDS."""
        addressed = {c.name: c for c in self._routing.clusters if resources.by_address(c)}
        return self._resources(EDS, addressed, resources.assignment)

    def listeners(self) -> Resources:
        """For proxies."""
        return self._resources(LDS, {found.name: found.listen for found in self._routing.listeners}, resources.listener)

    def api_listeners(self) -> Resources:
        """For proxyless clients."""
        return self._resources(LDS, {r.service: r.service for r in self._routing.services}, resources.api_listener)

    def tables(self) -> Resources:
        """For proxies: the route table of each listener."""
        hosts = {found.name: found.hosts for found in self._routing.listeners}
        return {name: self._table(name, each, resources.virtual_host) for name, each in hosts.items()}

    def proxyless_tables(self) -> Resources:
        """For proxyless clients: a route table for each service."""
        hosts = {found.service: (routing.VirtualHost(("*",), (found,)),) for found in self._routing.services}
        return {name: self._table(name, each, resources.proxyless_virtual_host) for name, each in hosts.items()}

    def _table(self, name: str, hosts: Iterable[VirtualHost], make: Callable[[VirtualHost, str], bytes]) -> Resource:
        parts = (self._part(host, make) for host in hosts)
        return make_table(name, parts, self._store, self._routing.revision)

    def _part(self, host: VirtualHost, make: Callable[[VirtualHost, str], bytes]) -> Part:
        name = "+".join(sorted({found.service for found in host.routes}))
        body = self._cache.get((make, host), partial(make, host, name))
        needs = frozenset(cluster for found in host.routes for cluster, _ in found.split)
        return Part(name, content_hash(body), body, frozenset(host.domains), needs)

    def _resources(self, type_url: str, values: Mapping[str, V], make: Callable[[V], bytes]) -> Resources:
        bodies = {name: self._cache.get((make, value), partial(make, value)) for name, value in values.items()}
        revision = self._routing.revision
        return {name: make_resource(type_url, name, body, self._store, revision) for name, body in bodies.items()}


def _routes(found: Routing, table: Callable[[str], Resource | None]) -> dict[str, dict[str, frozenset[str]]]:
    """Service -> route table -> the content of the virtual hosts in it that hold the service's routes."""
    routes: dict[str, dict[str, frozenset[str]]] = {each.service: {} for each in found.services}
    for listener in found.listeners:
        made = table(listener.name)
        for part, host in zip(made.parts if made else (), listener.hosts, strict=True):
            for each in host.routes:
                places = routes[each.service]
                places[listener.name] = places.get(listener.name, frozenset()) | {part.content}
    for service, places in routes.items():
        made = table(service)
        places[service] = frozenset(part.content for part in made.parts) if made else frozenset()
    return routes
