"""What one fleet is served at one revision: encoded once, shared by every stream. Frozen values, no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from google.protobuf.any_pb2 import Any

from controller.pb.haldane.wire.v1.resources_pb2 import RouteConfiguration
from controller.xds.subscription import Subscription
from controller.xds.versions import Version, combined_hash, content_hash

PREFIX = "type.googleapis.com/"
CDS = PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = PREFIX + "envoy.config.listener.v3.Listener"
RDS = PREFIX + "envoy.config.route.v3.RouteConfiguration"

ORDER = (CDS, EDS, LDS, RDS)
"""The order in which types are answered: make before break."""

FULL = frozenset((CDS, LDS))
"""The types whose state-of-the-world response is the full set, so that absence is deletion."""

MAX_DEPARTED = 256
"""Clusters remembered after their end."""

MAX_SELECTIONS = 256
"""Different subscriptions remembered for each catalogue; proxies of one fleet have few."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One virtual host of a route table: the unit that is held back, or refused, without its neighbours."""

    name: str
    content: str
    body: bytes
    """The serialised VirtualHost."""
    domains: frozenset[str]
    needs: frozenset[str]
    """The clusters that it sends traffic to."""


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource. Two are the same if their `content` is. `parts` are a route table's virtual hosts.

    `any` is the serialised google.protobuf.Any; empty where only the version is known, because a client told it.
    """

    name: str
    content: str
    version: str
    any: bytes = b""
    parts: tuple[Part, ...] = ()

    @cached_property
    def needs(self) -> frozenset[str]:
        """The clusters that a route table sends traffic to."""
        return frozenset().union(*(part.needs for part in self.parts))

    @property
    def units(self) -> Sequence["Part | Resource"]:
        """What a client can refuse in it: its virtual hosts, or itself."""
        return self.parts or (self,)


Resources = Mapping[str, Resource]
"""Resources of one type by name."""

NOTHING: Resources = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All resources of one type. `listed` are what a wildcard means; `named` only those get who ask by name."""

    version: str
    listed: Resources = field(default_factory=lambda: NOTHING)
    named: Resources = field(default_factory=lambda: NOTHING)
    _selections: dict[Subscription, Resources] = field(default_factory=dict, repr=False)

    def select(self, subscription: Subscription) -> Resources:
        """What that subscription is to get. The same object each time, so that streams can share what they hold."""
        if subscription.wildcard and not subscription.names:
            return self.listed
        found = self._selections.get(subscription)
        if found is None:
            if len(self._selections) >= MAX_SELECTIONS:
                self._selections.clear()
            by_name = {name: self.find(name) for name in subscription.names}
            found = {name: resource for name, resource in by_name.items() if resource}
            if subscription.wildcard:
                found |= self.listed
            self._selections[subscription] = found
        return found

    def find(self, name: str) -> Resource | None:
        """What a client gets that asks for that name."""
        return self.named.get(name) or self.listed.get(name)

    @cached_property
    def contents(self) -> frozenset[str]:
        """Everything in it that a client can refuse."""
        every = (*self.listed.values(), *self.named.values())
        return frozenset(unit.content for resource in every for unit in resource.units)


EMPTY = Catalogue(version="")


@dataclass(frozen=True, slots=True, eq=False)
class Departed:
    """A cluster that is served no more, and its endpoints if those came by EDS. `revision`: the first without it."""

    revision: int
    cluster: Resource
    endpoints: Resource | None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that one fleet is served. `routes`: service -> route table -> the content of its virtual hosts there.

    `departed` are the clusters that a proxy which was away may still route to, the latest ones.
    """

    store: str
    revision: int
    catalogues: Mapping[str, Catalogue]
    routes: Mapping[str, Mapping[str, frozenset[str]]]
    departed: Mapping[str, Departed] = field(default_factory=dict)

    def catalogue(self, type_url: str) -> Catalogue:
        """The resources of that type; empty for a type that we do not serve."""
        return self.catalogues.get(type_url, EMPTY)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to serve at all."""
        return not any(catalogue.listed or catalogue.named for catalogue in self.catalogues.values())

    def version(self, resources: Resources) -> str:
        """The version of a choice of resources that is not a whole catalogue."""
        pieces = (f"{name}={resources[name].content}" for name in sorted(resources))
        return str(Version(self.store, self.revision, combined_hash(pieces)))


def make_resource(type_url: str, name: str, body: bytes, store: str, revision: int) -> Resource:
    """A resource of its serialised message."""
    content = content_hash(type_url.encode(), body)
    return Resource(name, content, str(Version(store, revision, content)), _packed(type_url, body))


def make_table(name: str, parts: Iterable[Part], store: str, revision: int) -> Resource:
    """A route table of its virtual hosts, each encoded before."""
    parts = tuple(parts)
    content = combined_hash((name, *(part.content for part in parts)))
    body = RouteConfiguration(name=name, virtual_hosts=[part.body for part in parts]).SerializeToString()
    return Resource(name, content, str(Version(store, revision, content)), _packed(RDS, body), parts)


def make_catalogue(
    store: str, revision: int, listed: Resources, named: Resources = NOTHING, *, before: Catalogue = EMPTY
) -> Catalogue:
    """A catalogue of those resources: the one before if nothing changed, and as much of it as did not change."""
    listed, named = _kept(listed, before.listed), _kept(named, before.named)
    if before.version and _same(listed, before.listed) and _same(named, before.named):
        return before
    pieces = (f"{name}={part[name].content}" for part in (listed, named) for name in sorted(part))
    return Catalogue(str(Version(store, revision, combined_hash(pieces))), listed, named)


def departed(before: Snapshot | None, clusters: Resources, revision: int) -> Mapping[str, Departed]:
    """The clusters that are no more, after a snapshot that had others; the latest last."""
    if before is None:
        return {}
    endpoints = before.catalogue(EDS)
    left = {name: gone for name, gone in before.departed.items() if name not in clusters}
    for name, cluster in before.catalogue(CDS).listed.items():
        if name not in clusters:
            left[name] = Departed(revision, cluster, endpoints.find(name))
    return dict(list(left.items())[-MAX_DEPARTED:])


def _kept(new: Resources, old: Resources) -> Resources:
    """The new resources, but the old object (with its older version) where the content is the same."""
    others = [name for name, resource in new.items() if old.get(name) is not resource]
    if not others and len(new) == len(old):
        return old
    same = {name: held for name in others if (held := old.get(name)) and held.content == new[name].content}
    return {**new, **same} if same else new


def _same(new: Resources, old: Resources) -> bool:
    return new is old or (len(new) == len(old) and all(old.get(name) is resource for name, resource in new.items()))


def _packed(type_url: str, body: bytes) -> bytes:
    return Any(type_url=type_url, value=body).SerializeToString()
