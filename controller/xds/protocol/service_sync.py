"""How many proxies have ACKed a service's newest routes."""

from collections.abc import Iterable

from controller.core.control.sync import Sync
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.resources.type_urls import RDS


def service_sync(streams: Iterable[ObservedStream], service: str) -> Sync:
    """How many proxies that subscribe to the service's routes have accepted the newest, which have NACKed them, and
    which cannot report broken responses."""
    synced: dict[str, bool] = {}
    nacked: set[str] = set()
    blind: set[str] = set()
    for observed in streams:
        if observed.is_blind:
            blind.add(observed.node.id)
        routes = observed.routes_of(service)
        if not routes:
            continue
        node = observed.node.id
        synced[node] = synced.get(node, True) and not observed.lacks_routes_of(service)
        if any(hosts & observed.stream.types[RDS].nacked for hosts in routes.values()):
            nacked.add(node)
    behind = tuple(sorted(node for node, is_synced in synced.items() if not is_synced))
    unseeing = tuple(sorted(blind & synced.keys()))
    return Sync(sum(synced.values()), len(synced), tuple(sorted(nacked)), behind, unseeing)
