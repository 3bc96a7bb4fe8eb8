"""Which clusters a client has, as far as its ACKs prove it: of those, and no others, its reports count. Pure.

| the cluster | is proved by |
|---|---|
| served by CDS | the ACK of a CDS response with it |
| in Envoy's own file, with endpoints by EDS | the ACK of its endpoints, on a stream without CDS |
| the operator's own (`clusters: own`) | the ACK of a route configuration that routes to it |
| any of these, after a reconnect | a version of this store that the client declares, until it has ACKed anything anew |
"""

from controller.core.model.cluster_names import cluster_parts
from controller.xds.protocol.stream_state import StreamState, TypeState
from controller.xds.resources.resource import NO_RESOURCES, Resources
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.type_urls import CDS, EDS, RDS


def confirmed_clusters(stream: StreamState) -> frozenset[str]:
    """The names, as they are observed, of the clusters that the client has and that its fleet is served."""
    snapshot = stream.snapshot
    if snapshot is None:
        return frozenset()
    clusters, routes = _resources(stream, snapshot, CDS), _resources(stream, snapshot, RDS)
    if CDS not in stream.types:
        clusters = _resources(stream, snapshot, EDS)
    own = frozenset().union(*(host.own_clusters for each in routes.values() for host in each.virtual_hosts))
    return frozenset(name for name in clusters.keys() | own if _is_served(snapshot, name))


def _resources(stream: StreamState, snapshot: Snapshot, type_url: str) -> Resources:
    """What the client has of that type."""
    state = stream.types.get(type_url)
    if state is None:
        return NO_RESOURCES
    if stream.seen_revision and not state.acked_version:
        return {**snapshot.catalogue(type_url).select(state.subscription), **_sent(state)}
    return _sent(state)


def _sent(state: TypeState) -> Resources:
    """What the client ACKed of what it was sent: a name that it merely declares may be any."""
    return {name: resource for name, resource in state.accepted.items() if resource.packed}


def _is_served(snapshot: Snapshot, name: str) -> bool:
    parts = cluster_parts(name)
    return parts is not None and parts.service in snapshot.routes
