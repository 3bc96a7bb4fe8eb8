"""The snapshot: all that one fleet is served at one revision, shared by every stream. Frozen values, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.xds.resources.catalogue import EMPTY_CATALOGUE, Catalogue
from controller.xds.resources.resource import Resource, Resources
from controller.xds.resources.resource_version import ResourceVersion, combined_hash
from controller.xds.resources.type_urls import CDS, EDS

MAX_REMOVED_CLUSTERS = 256
"""Clusters remembered after their removal."""

Routes = Mapping[str, Mapping[str, frozenset[str]]]
"""Service -> route configuration -> the content hashes of its virtual hosts there."""


@dataclass(frozen=True, slots=True, eq=False)
class RemovedCluster:
    """A cluster that is no longer served, with its endpoints if those came by EDS."""

    revision: int
    """The first revision without it."""
    cluster: Resource
    endpoints: Resource | None


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that one fleet is served, by resource type."""

    store: str
    revision: int
    catalogues: Mapping[str, Catalogue]
    routes: Routes
    removed_clusters: Mapping[str, RemovedCluster] = field(default_factory=dict)
    """The latest removed clusters: a proxy that was disconnected may still route to them."""
    counting: "Snapshot | None" = None
    """The same for proxies that can count how responses end: their listeners have the loggers for it."""

    def catalogue(self, type_url: str) -> Catalogue:
        """The resources of that type; empty for a type that is not served."""
        return self.catalogues.get(type_url, EMPTY_CATALOGUE)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to serve at all."""
        return not any(catalogue.listed or catalogue.named for catalogue in self.catalogues.values())

    def version(self, resources: Resources) -> str:
        """The version of a choice of resources that is not a whole catalogue."""
        pieces = (f"{name}={resources[name].content}" for name in sorted(resources))
        return str(ResourceVersion(self.store, self.revision, combined_hash(pieces)))


def removed_clusters(before: Snapshot | None, clusters: Resources, revision: int) -> Mapping[str, RemovedCluster]:
    """The clusters that are in `before` or were removed earlier, and are not in `clusters`; the latest last."""
    if before is None:
        return {}
    endpoints = before.catalogue(EDS)
    removed = {name: earlier for name, earlier in before.removed_clusters.items() if name not in clusters}
    listed = before.catalogue(CDS).listed
    if gone := listed.keys() - clusters.keys():
        for name in filter(gone.__contains__, listed):
            removed[name] = RemovedCluster(revision, listed[name], endpoints.find(name))
    return dict(list(removed.items())[-MAX_REMOVED_CLUSTERS:])
