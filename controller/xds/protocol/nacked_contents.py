"""What a client has NACKed of a service. Pure."""

from collections.abc import Iterator

from controller.core.model.cluster_names import cluster_parts
from controller.xds.protocol.stream_state import StreamState, TypeState
from controller.xds.resources.resource import Resource
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.type_urls import RDS


def nacked_contents(stream: StreamState, service: str) -> frozenset[str]:
    """The content hashes that the client NACKed of that service, or of all if it is empty."""
    snapshot = stream.snapshot
    if snapshot is None or not any(state.nacked for state in stream.types.values()):
        return frozenset()
    nacked = frozenset().union(*(state.nacked for state in stream.types.values()))
    return nacked & frozenset(_contents(stream, snapshot, service)) if service else nacked


def is_removal_nacked(state: TypeState) -> bool:
    """Whether the client NACKed a response that carried nothing new: no content is to blame for that."""
    return state.nacked_target is not None and not state.nacked


def _contents(stream: StreamState, snapshot: Snapshot, service: str) -> Iterator[str]:
    """The content hashes of everything that the service has in the snapshot: a listener is of all that share it."""
    routes = snapshot.routes.get(service, {})
    for hosts in routes.values():
        yield from hosts
    for url, state in stream.types.items():
        if url != RDS:
            resources = snapshot.catalogue(url).select(state.subscription)
            yield from (r.content for r in resources.values() if r.name in {service, *routes} or _is_of(r, service))


def _is_of(resource: Resource, service: str) -> bool:
    parts = cluster_parts(resource.name)
    return parts is not None and parts.service == service
