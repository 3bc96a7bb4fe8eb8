"""How many proxies have ACKed a service's newest routes."""

from collections.abc import Iterable

from controller.core.control.sync import Sync
from controller.core.model.cluster_names import cluster_parts
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.resources.resource_version import combined_hash
from controller.xds.resources.type_urls import RDS


def service_sync(streams: Iterable[ObservedStream], service: str) -> Sync:
    """How many proxies that subscribe to the service's routes have accepted the newest, which have NACKed them, what
    split the others serve, and which cannot report broken responses."""
    nodes: set[str] = set()
    splits: dict[str, str] = {}
    nacked: set[str] = set()
    blind: set[str] = set()
    for observed in streams:
        if observed.is_blind:
            blind.add(observed.node.id)
        routes = observed.routes_of(service)
        if not routes:
            continue
        node = observed.node.id
        if observed.lacks_routes_of(service):
            splits[node] = _acked_split(observed, routes, service)
        nodes.add(node)
        if any(hosts & observed.stream.types[RDS].nacked for hosts in routes.values()):
            nacked.add(node)
    return Sync(
        len(nodes) - len(splits),
        len(nodes),
        nacked=tuple(sorted(nacked)),
        behind=tuple(sorted(splits)),
        splits=splits,
        blind=tuple(sorted(blind & nodes)),
    )


def _acked_split(observed: ObservedStream, routes: Iterable[str], service: str) -> str:
    """A name of what the client has accepted of the service's routes: the hash of its virtual hosts."""
    accepted = observed.stream.types[RDS].accepted
    hosts = [host for name in routes if name in accepted for host in accepted[name].virtual_hosts]
    return combined_hash(sorted(host.content for host in hosts if _routes_to(service, host.clusters)))


def _routes_to(service: str, clusters: Iterable[str]) -> bool:
    return any((parts := cluster_parts(cluster)) and parts[0] == service for cluster in clusters)
