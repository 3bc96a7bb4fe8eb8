"""What `SyncCounts` counts, found by walking every stream: slow, and obviously right."""

from collections.abc import Iterable

from controller.core.control.sync import Sync
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.resources.resource_version import combined_hash
from controller.xds.resources.type_urls import RDS


def walked_sync(streams: Iterable[ObservedStream], service: str) -> Sync:
    """As `SyncCounts.sync`; of a node with several splits, any of them."""
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
            splits[node] = acked_split(observed, service)
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


def acked_split(observed: ObservedStream, service: str) -> str:
    """A name of what the client has accepted of the service's routes: the hash of its virtual hosts."""
    state = observed.stream.types[RDS]
    hosts = [host for each in state.accepted.values() for host in each.virtual_hosts]
    return combined_hash(sorted(host.content for host in hosts if service in host.services))
