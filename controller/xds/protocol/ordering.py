"""Make before break: what a client should have now, of what the snapshot has.

- Additions wait for the CDS ACK: a route is withheld until the clusters that it needs are ACKed.
- Removals wait for the RDS ACK: a cluster stays until no route configuration that the client has references it.
- What the client NACKed is withheld until it changes.

Sending in the right order is not enough. Envoy ACKs CDS only when every cluster of that update is warm, so only a
cluster in an ACKed CDS response can take traffic, and one that an un-ACKed route configuration may use must stay.
"""

from collections.abc import Set

from controller.xds.protocol.stream_state import PendingResponse, StreamState, TypeState
from controller.xds.resources.resource import (
    NO_RESOURCES,
    EncodedVirtualHost,
    Resource,
    Resources,
    make_route_configuration,
)
from controller.xds.resources.resource_version import parse_version
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS

DEPENDENTS = {CDS: EDS, LDS: RDS}
"""The type that a client requests by the names in another: endpoints of clusters, route configurations of listeners."""


def target_resources(stream: StreamState, snapshot: Snapshot, type_url: str) -> Resources | None:
    """What the client should have of that type now; None while nothing may be sent."""
    state = stream.types[type_url]
    base = snapshot.catalogue(type_url).select(state.subscription)
    if type_url != EDS and stream.is_ahead_of(snapshot):
        return None  # an older snapshot would take away what another controller has added
    if type_url == RDS:
        return _route_configurations(stream, snapshot, state, base)
    if _would_empty(snapshot, state):
        return None
    if type_url == CDS:
        base = _merged(base, _clusters_in_use(stream, snapshot, state, base))
    elif type_url == EDS:
        base = _merged(base, _endpoints_in_use(stream, snapshot, state, base))
    return _without_nacked(state, base)


def clusters_not_requested(stream: StreamState) -> bool:
    """Whether a client has yet to request clusters, although it may have some.

    A reconnected Envoy requests endpoints, listeners and routes at once, and clusters only when all are warm.
    """
    return stream.aggregated and CDS not in stream.types


def _would_empty(snapshot: Snapshot, state: TypeState) -> bool:
    """Whether an empty snapshot would go to a client that has something which this store never removed.

    A wiped store removes nothing: the client keeps what it has.
    """
    if not snapshot.empty or not state.initial_version:
        return False
    version = parse_version(state.initial_version)
    return version is None or version.store != snapshot.store or version.revision > snapshot.revision


def _merged(base: Resources, kept: Resources) -> Resources:
    return {**kept, **base} if kept else base


def _removed(state: TypeState, base: Resources) -> list[Resource]:
    """What the client has and is subscribed to, and the snapshot no longer has."""
    if state.accepted is base:
        return []
    return [r for name, r in state.accepted.items() if name not in base and state.subscription.covers(name)]


def _clusters_in_use(stream: StreamState, snapshot: Snapshot, state: TypeState, base: Resources) -> Resources:
    """Removals wait for the RDS ACK: the clusters that a route configuration of the client may still use.

    Until the route configurations of a reconnected client are known, these are all that it may have from before.
    """
    removed = _removed(state, base)
    earlier = snapshot.removed_clusters if 0 < stream.seen_revision < snapshot.revision else {}
    if not removed and not earlier:
        return NO_RESOURCES
    used, known = _referenced_clusters(stream, snapshot), _route_configurations_known(stream, snapshot)
    kept = {r.name: r for r in removed if r.name in used or not (known or r.packed)}
    if not known and not stream.delta and state.subscription.wildcard:
        unseen = {name: each.cluster for name, each in earlier.items() if each.revision > stream.seen_revision}
        kept |= {name: cluster for name, cluster in unseen.items() if not state.responded or name in state.accepted}
    return kept


def _referenced_clusters(stream: StreamState, snapshot: Snapshot) -> frozenset[str]:
    """The clusters of the route configurations that the client has, or is about to have, and uses."""
    routes, listeners = stream.types.get(RDS), stream.types.get(LDS)
    if routes is None:
        return frozenset()
    known = [*routes.accepted.values(), *(routes.pending.target.values() if routes.pending else ())]
    used = [r for r in known if snapshot.catalogue(RDS).find(r.name) or (listeners and r.name in listeners.accepted)]
    return frozenset().union(*(configuration.clusters for configuration in used))


def _route_configurations_known(stream: StreamState, snapshot: Snapshot) -> bool:
    """Whether this stream knows all route configurations of the client. After a reconnect it does not until an ACK."""
    state = stream.types.get(RDS)
    if state is None:
        return stream.settled
    base = snapshot.catalogue(RDS).select(state.subscription)
    return (
        state.pending is None
        and base.keys() <= state.accepted.keys()
        and all(r.packed for r in state.accepted.values())
    )


def _endpoints_in_use(stream: StreamState, snapshot: Snapshot, state: TypeState, base: Resources) -> Resources:
    """Endpoints stay as long as their cluster, even one that is removed before the client has warmed it."""
    clusters = stream.types.get(CDS)
    if clusters is None:
        waiting = clusters_not_requested(stream) and not _uses_endpoints_alone(stream)
        return _endpoints_of_removed(snapshot, state, base) if waiting else NO_RESOURCES
    kept = {r.name: r for r in _removed(state, base) if r.name in clusters.accepted}
    if clusters.pending:
        before = clusters.pending.snapshot
        missing = (state.subscription.names & clusters.pending.target.keys()) - base.keys()
        kept |= {name: endpoints for name in missing if (endpoints := _last_endpoints(before, name))}
    return kept


def _uses_endpoints_alone(stream: StreamState) -> bool:
    """Whether the client has had time to request other types, and requested none: nothing else orders its removals."""
    return stream.settled and stream.types.keys() == {EDS}


def _endpoints_of_removed(snapshot: Snapshot, state: TypeState, base: Resources) -> Resources:
    """For a client that has yet to request clusters: the endpoints that it has, and those of removed clusters. It may
    be warming a cluster that waits for just these."""
    removed = {name: snapshot.removed_clusters.get(name) for name in state.subscription.names - base.keys()}
    endpoints = {name: each.endpoints for name, each in removed.items() if each and each.endpoints}
    return {r.name: r for r in _removed(state, base)} | endpoints


def _last_endpoints(snapshot: Snapshot, name: str) -> Resource | None:
    """The endpoints that a cluster of that snapshot has, or had before its removal."""
    removed = snapshot.removed_clusters.get(name)
    return snapshot.catalogue(EDS).find(name) or (removed.endpoints if removed else None)


def _without_nacked(state: TypeState, base: Resources) -> Resources:
    """Without what the client NACKed: its last good resource in that place, or none."""
    if not state.nacked:
        return base
    chosen = {name: r if r.content not in state.nacked else state.accepted.get(name) for name, r in base.items()}
    return {name: resource for name, resource in chosen.items() if resource}


def _route_configurations(stream: StreamState, snapshot: Snapshot, state: TypeState, base: Resources) -> Resources:
    """Additions wait for the CDS ACK: the route configurations as far as their clusters can take traffic."""
    listeners = stream.types.get(LDS)
    kept = {r.name: r for r in _removed(state, base) if listeners and r.name in listeners.accepted}
    routable = routable_clusters(stream, snapshot)
    if not state.nacked and (routable is None or all(r.clusters <= routable for r in base.values())):
        return _merged(base, kept)
    sendable = (_sendable(stream, snapshot, configuration, routable) for configuration in base.values())
    return _merged({configuration.name: configuration for configuration in sendable if configuration}, kept)


def routable_clusters(stream: StreamState, snapshot: Snapshot) -> Set[str] | None:
    """The clusters that the client may route to; None if its routes need not wait for clusters.

    Routes wait only if the client subscribes to all clusters: one that names them (gRPC) requests a cluster after
    its route. They do not wait if a reconnected client NACKed all of its first CDS response, since it keeps clusters
    that this stream cannot know.
    """
    state, listeners = stream.types.get(CDS), stream.types.get(LDS)
    if state is None and clusters_not_requested(stream) and not stream.settled:
        # gRPC names its listeners before its routes. Without any, a listener of Envoy's own bootstrap requests them.
        waits = listeners.subscription.wildcard if listeners else stream.reconnected
        return frozenset() if waits else None
    if state is None or not state.subscription.wildcard:
        return None
    warm = state.accepted.keys() - _without_endpoints(stream, snapshot) if state.nacked_last else state.accepted.keys()
    if state.pending:
        return warm & state.pending.target.keys()
    if state.accepted is snapshot.catalogue(CDS).listed:
        return None
    if stream.reconnected and state.nacked and not state.accepted:
        return None
    return warm


def _without_endpoints(stream: StreamState, snapshot: Snapshot) -> Set[str]:
    """The clusters whose endpoints the client has not ACKed.

    An ACK of clusters says that they are warm. A NACK of some says nothing of the others, which the client applied.
    """
    state = stream.types.get(EDS)
    return snapshot.catalogue(EDS).listed.keys() - (state.accepted.keys() if state else frozenset())


def _sendable(
    stream: StreamState, snapshot: Snapshot, configuration: Resource, routable: Set[str] | None
) -> Resource | None:
    """The newest form of a route configuration that the client can take now; None if there is none yet."""
    state = stream.types[RDS]
    accepted = state.accepted.get(configuration.name)
    old = {host.name: host for host in accepted.virtual_hosts} if accepted else {}
    chosen: list[EncodedVirtualHost] = []
    for host in configuration.virtual_hosts:
        if host.content not in state.nacked and (routable is None or host.clusters <= routable):
            chosen.append(host)
        elif host.name in old:
            chosen.append(old[host.name])
        elif not (accepted and accepted.packed) and _may_have(stream, snapshot, host):
            return accepted  # what the client has of this host is not known: leaving it out would cut it off
    hosts = configuration.virtual_hosts
    if len(chosen) == len(hosts) and all(a is b for a, b in zip(chosen, hosts, strict=True)):
        return configuration
    domains = [domain for host in chosen for domain in host.domains]
    if not chosen or len(domains) != len(set(domains)):
        return accepted
    return make_route_configuration(configuration.name, chosen, snapshot.store, snapshot.revision)


def _may_have(stream: StreamState, snapshot: Snapshot, host: EncodedVirtualHost) -> bool:
    """Whether a client whose routes are not known may have this virtual host, or can take it later.

    It cannot if the client NACKed the host, or a cluster that it needs: then there is nothing to wait for.
    """
    state, clusters = stream.types.get(CDS), snapshot.catalogue(CDS).listed
    nacked = state.nacked if state else frozenset[str]()
    blocked = any(name in clusters and clusters[name].content in nacked for name in host.clusters)
    return host.content not in stream.types[RDS].nacked and not blocked


def resend_dependents(stream: StreamState, type_url: str, sent: PendingResponse) -> StreamState:
    """Mark dependent resources that must be sent again although they are the same.

    A changed cluster warms again and waits for its endpoints. A listener that is new, or was removed in between, waits
    for its route configuration: a client that unsubscribes and subscribes within one request seems to have kept it.
    """
    dependent, accepted = DEPENDENTS[type_url], stream.types[type_url].accepted
    new = (
        r.name
        for r in sent.resources
        if r.name not in accepted or (type_url == CDS and accepted[r.name].content != r.content)
    )
    state = stream.types.get(dependent)
    names = frozenset(name for name in new if state and state.subscription.covers(name))
    if not state or not names:
        return stream
    return stream._replace(types={**stream.types, dependent: state._replace(must_send=state.must_send | names)})
