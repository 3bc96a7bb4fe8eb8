"""What a client should have now: what the snapshot says, but never a route before its cluster, never a cluster's end
before its routes', never what the client refused.

Envoy acknowledges CDS only when every cluster of that update is warm, so a cluster in an acknowledged CDS may get
traffic, and one that an unacknowledged route table may still use must stay. To send in the right order is not enough.
"""

from collections.abc import Set

from controller.xds.lanes import Lane, Pending, Stream
from controller.xds.snapshot import CDS, EDS, LDS, NOTHING, RDS, Part, Resource, Resources, Snapshot, make_table
from controller.xds.versions import read_version

FOLLOWS = {CDS: EDS, LDS: RDS}
"""The type that a client asks for by the names in another: endpoints of clusters, route tables of listeners."""


def wanted(stream: Stream, snapshot: Snapshot, type_url: str) -> Resources | None:
    """What the client should have of that type now; None while it must not be told anything."""
    lane = stream.lanes[type_url]
    base = snapshot.catalogue(type_url).select(lane.subscription)
    if type_url != EDS and stream.ahead(snapshot):
        return None  # the client has what we do not know of yet, and an older world would take it away
    if type_url == RDS:
        return _routes(stream, snapshot, lane, base)
    if _would_empty(snapshot, lane):
        return None
    if type_url == CDS:
        base = _with(base, _clusters_in_use(stream, snapshot, lane, base))
    elif type_url == EDS:
        base = _with(base, _endpoints_in_use(stream, snapshot, lane, base))
    return _acceptable(lane, base)


def late(stream: Stream) -> bool:
    """Whether a client has yet to ask for its clusters, although it may have some.

    An Envoy that comes back asks for endpoints, listeners and routes at once, and for clusters only when all are warm.
    """
    return stream.aggregated and CDS not in stream.lanes


def _would_empty(snapshot: Snapshot, lane: Lane) -> bool:
    """Whether an empty world would go to a client that holds something which this store never took away.

    A wiped store has nothing to say; the client keeps what it has.
    """
    if not snapshot.empty or not lane.brought:
        return False
    version = read_version(lane.brought)
    return version is None or version.store != snapshot.store or version.revision > snapshot.revision


def _with(base: Resources, kept: Resources) -> Resources:
    return {**kept, **base} if kept else base


def _gone(lane: Lane, base: Resources) -> list[Resource]:
    """What the client has and wants, and the snapshot has no more."""
    if lane.held is base:
        return []
    return [r for name, r in lane.held.items() if name not in base and lane.subscription.covers(name)]


def _clusters_in_use(stream: Stream, snapshot: Snapshot, lane: Lane, base: Resources) -> Resources:
    """Removals wait for the RDS ACK: the clusters that a route table which the client has may still use.

    Until we know the tables of a client that came back, these are all that it may have from before.
    """
    gone = _gone(lane, base)
    departed = snapshot.departed if 0 < stream.seen < snapshot.revision else {}
    if not gone and not departed:
        return NOTHING
    used, known = _used(stream, snapshot), _routes_known(stream, snapshot)
    kept = {r.name: r for r in gone if r.name in used or not (known or r.any)}
    if not known and not stream.delta and lane.subscription.wildcard:
        unseen = {name: d.cluster for name, d in departed.items() if d.revision > stream.seen}
        kept |= {name: cluster for name, cluster in unseen.items() if not lane.nonce or name in lane.held}
    return kept


def _used(stream: Stream, snapshot: Snapshot) -> frozenset[str]:
    """The clusters of the route tables that the client has or is about to have, and that are in use there."""
    routes, listeners = stream.lanes.get(RDS), stream.lanes.get(LDS)
    if routes is None:
        return frozenset()
    tables = [*routes.held.values(), *(routes.pending.after.values() if routes.pending else ())]
    live = [t for t in tables if snapshot.catalogue(RDS).find(t.name) or (listeners and t.name in listeners.held)]
    return frozenset().union(*(table.needs for table in live))


def _routes_known(stream: Stream, snapshot: Snapshot) -> bool:
    """Whether the client's route tables are known to be ours. After a reconnect they are not until it said so."""
    lane = stream.lanes.get(RDS)
    if lane is None:
        return stream.settled
    base = snapshot.catalogue(RDS).select(lane.subscription)
    return lane.pending is None and base.keys() <= lane.held.keys() and all(table.any for table in lane.held.values())


def _endpoints_in_use(stream: Stream, snapshot: Snapshot, lane: Lane, base: Resources) -> Resources:
    """Endpoints stay for as long as their cluster does, also of one that is gone before the client has warmed it."""
    clusters = stream.lanes.get(CDS)
    if clusters is None:
        return _endpoints_left(snapshot, lane, base) if late(stream) else NOTHING
    kept = {r.name: r for r in _gone(lane, base) if r.name in clusters.held}
    if clusters.pending:
        before = clusters.pending.snapshot
        missing = (lane.subscription.names & clusters.pending.after.keys()) - base.keys()
        kept |= {name: found for name in missing if (found := _last_endpoints(before, name))}
    return kept


def _endpoints_left(snapshot: Snapshot, lane: Lane, base: Resources) -> Resources:
    """What a client that is late with asking for clusters has, and what clusters that went meanwhile had: it may be
    waiting for just those."""
    departed = {name: snapshot.departed.get(name) for name in lane.subscription.names - base.keys()}
    left = {name: gone.endpoints for name, gone in departed.items() if gone and gone.endpoints}
    return {r.name: r for r in _gone(lane, base)} | left


def _last_endpoints(snapshot: Snapshot, name: str) -> Resource | None:
    """The endpoints that a cluster of that snapshot had, or has."""
    departed = snapshot.departed.get(name)
    return snapshot.catalogue(EDS).find(name) or (departed.endpoints if departed else None)


def _acceptable(lane: Lane, base: Resources) -> Resources:
    """Without what the client refused: its last good one in that place, or none."""
    if not lane.refused:
        return base
    chosen = {name: r if r.content not in lane.refused else lane.held.get(name) for name, r in base.items()}
    return {name: resource for name, resource in chosen.items() if resource}


def _routes(stream: Stream, snapshot: Snapshot, lane: Lane, base: Resources) -> Resources:
    """Additions wait for the CDS ACK: the route tables as far as their clusters are in place."""
    listeners = stream.lanes.get(LDS)
    kept = {r.name: r for r in _gone(lane, base) if listeners and r.name in listeners.held}
    places = in_place(stream, snapshot)
    if not lane.refused and (places is None or all(table.needs <= places for table in base.values())):
        return _with(base, kept)
    tables = (_table(stream, snapshot, table, places) for table in base.values())
    return _with({table.name: table for table in tables if table}, kept)


def in_place(stream: Stream, snapshot: Snapshot) -> Set[str] | None:
    """The clusters that the client may route to; None if that is not ours to gate.

    Only a client that takes all clusters is gated: one that asks by name (gRPC) asks for a cluster after the route.
    A client that came back and refused all of its first CDS keeps what it had, which we cannot know: it is not gated.
    """
    lane, listeners = stream.lanes.get(CDS), stream.lanes.get(LDS)
    if lane is None and late(stream) and not stream.settled and listeners and listeners.subscription.wildcard:
        return frozenset()
    if lane is None or not lane.subscription.wildcard:
        return None
    if lane.pending:
        return lane.held.keys() & lane.pending.after.keys()
    if lane.held is snapshot.catalogue(CDS).listed or (stream.returned and lane.refused and not lane.held):
        return None
    return lane.held.keys()


def _table(stream: Stream, snapshot: Snapshot, table: Resource, places: Set[str] | None) -> Resource | None:
    """The newest form of a route table that the client can take now; None if there is none yet."""
    lane = stream.lanes[RDS]
    held = lane.held.get(table.name)
    old = {part.name: part for part in held.parts} if held else {}
    chosen: list[Part] = []
    for part in table.parts:
        if part.content not in lane.refused and (places is None or part.needs <= places):
            chosen.append(part)
        elif part.name in old:
            chosen.append(old[part.name])
        elif not (held and held.any) and part.content not in lane.refused and not _hopeless(stream, snapshot, part):
            return held  # what it has of this part is not known: to leave it out would cut it off
    if len(chosen) == len(table.parts) and all(a is b for a, b in zip(chosen, table.parts, strict=True)):
        return table
    domains = [domain for part in chosen for domain in part.domains]
    if not chosen or len(domains) != len(set(domains)):
        return held
    return make_table(table.name, chosen, snapshot.store, snapshot.revision)


def _hopeless(stream: Stream, snapshot: Snapshot, part: Part) -> bool:
    """Whether a cluster that it needs was refused, so that there is nothing to wait for."""
    lane, clusters = stream.lanes.get(CDS), snapshot.catalogue(CDS).listed
    refused = lane.refused if lane else frozenset[str]()
    return any(name in clusters and clusters[name].content in refused for name in part.needs)


def owe_what_follows(stream: Stream, type_url: str, sent: Pending) -> Stream:
    """What is to be sent once more though it is the same.

    A changed cluster warms anew and waits for its endpoints. A listener that is new, or was gone in between, waits for
    its routes: a client that says at once what it dropped and wants again seems to have wanted it all the time.
    """
    follows, held = FOLLOWS[type_url], stream.lanes[type_url].held
    new = (
        r.name for r in sent.carried if r.name not in held or (type_url == CDS and held[r.name].content != r.content)
    )
    lane = stream.lanes.get(follows)
    names = frozenset(name for name in new if lane and lane.subscription.covers(name))
    if not lane or not names:
        return stream
    return stream._replace(lanes={**stream.lanes, follows: lane._replace(owed=lane.owed | names)})
