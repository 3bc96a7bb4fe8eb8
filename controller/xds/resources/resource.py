"""One encoded resource, and the virtual hosts of a route configuration. Frozen values, no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from google.protobuf.any_pb2 import Any

from controller.pb.haldane.wire.v1.resources_pb2 import RouteConfiguration
from controller.xds.resources.resource_version import ResourceVersion, content_hash, digest_of, joined_hash
from controller.xds.resources.type_urls import RDS


@dataclass(frozen=True, slots=True, eq=False)
class EncodedVirtualHost:
    """One virtual host of a route configuration: withheld or NACKed without affecting its neighbours."""

    name: str
    content: str
    """The content hash."""
    body: bytes
    """The serialised VirtualHost."""
    domains: frozenset[str]
    clusters: frozenset[str]
    """The clusters that it routes to."""
    services: frozenset[str] = frozenset()
    """The services whose routes are in it."""
    own_clusters: frozenset[str] = frozenset()
    """The operator's own clusters of these services, by the names by which they are observed."""


@dataclass(frozen=True, eq=False)
class Resource:
    """One resource. Two resources are the same if their `content` is.

    `packed` is the serialised google.protobuf.Any. It is empty if only the version is known, because the client
    declared the resource from an earlier stream.
    """

    name: str
    content: str
    """The content hash."""
    version: str
    packed: bytes = b""
    virtual_hosts: tuple[EncodedVirtualHost, ...] = ()
    """Only of a route configuration."""

    @cached_property
    def digest(self) -> int:
        """Of its name and content, as a member of a set of resources of one type."""
        return digest_of(self.name.encode(), self.content.encode())

    @cached_property
    def clusters(self) -> frozenset[str]:
        """The clusters that a route configuration routes to."""
        return frozenset().union(*(host.clusters for host in self.virtual_hosts))

    @cached_property
    def host_contents(self) -> frozenset[str]:
        """The content hashes of a route configuration's virtual hosts."""
        return frozenset(host.content for host in self.virtual_hosts)

    @cached_property
    def contents_by_service(self) -> Mapping[str, list[str]]:
        """Service -> the content hashes of the virtual hosts with its routes."""
        contents: dict[str, list[str]] = {}
        for host in self.virtual_hosts:
            for service in host.services:
                contents.setdefault(service, []).append(host.content)
        return contents

    @property
    def units(self) -> Sequence["EncodedVirtualHost | Resource"]:
        """What a client can NACK in it: each virtual host, or the resource itself."""
        return self.virtual_hosts or (self,)


Resources = Mapping[str, Resource]
"""Resources of one type by name."""

NO_RESOURCES: Resources = MappingProxyType({})


def make_resource(type_url: str, name: str, body: bytes, store: str, revision: int) -> Resource:
    """A resource of its serialised message."""
    content = content_hash(type_url.encode(), body)
    return Resource(name, content, str(ResourceVersion(store, revision, content)), _packed(type_url, body))


def make_route_configuration(name: str, hosts: Iterable[EncodedVirtualHost], store: str, revision: int) -> Resource:
    """A RouteConfiguration of its virtual hosts, each encoded before."""
    hosts = tuple(hosts)
    content = joined_hash(name, (host.content for host in hosts))
    body = RouteConfiguration(name=name, virtual_hosts=[host.body for host in hosts]).SerializeToString()
    return Resource(name, content, str(ResourceVersion(store, revision, content)), _packed(RDS, body), hosts)


def _packed(type_url: str, body: bytes) -> bytes:
    return Any(type_url=type_url, value=body).SerializeToString()
