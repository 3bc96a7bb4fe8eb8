"""What is known of the proxies: how far each is, per type and per service. Pure questions about streams."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller.core.decision import Sync
from controller.ports import ProxyStatus, TypeStatus
from controller.xds.lanes import Lane, Stream
from controller.xds.snapshot import EMPTY, ORDER, RDS, Snapshot
from controller.xds.wire import Node

SYNCED, STALE, NOT_SENT, ERROR = "SYNCED", "STALE", "NOT_SENT", "ERROR"
SEVERITY = (SYNCED, NOT_SENT, STALE, ERROR)


@dataclass(frozen=True, slots=True)
class Watched:
    """One stream as it is looked at: `snapshot` is the newest of its fleet, which it may not have reached yet."""

    node: Node
    stream: Stream
    snapshot: Snapshot
    connected_at: float
    since: Mapping[str, float]


def statuses(streams: Iterable[Watched], now: float, confirm: float) -> tuple[ProxyStatus, ...]:
    """Every proxy with all its streams together. `now` is Unix seconds; see `Limits.confirm`."""
    nodes: dict[tuple[str, str], list[Watched]] = {}
    for watched in streams:
        nodes.setdefault((watched.node.id, watched.node.fleet), []).append(watched)
    return tuple(_proxy(each, now, confirm) for _, each in sorted(nodes.items()))


def _proxy(streams: list[Watched], now: float, confirm: float) -> ProxyStatus:
    found: dict[str, TypeStatus] = {}
    for watched in streams:
        for url in watched.stream.lanes:
            status = _type(watched, url, now, confirm)
            if url not in found or SEVERITY.index(status.state) > SEVERITY.index(found[url].state):
                found[url] = status
    types = tuple(found[url] for url in sorted(found, key=_place))
    worst = max((status.state for status in types), key=SEVERITY.index, default=NOT_SENT)
    first = streams[0].node
    connected = min(watched.connected_at for watched in streams)
    return ProxyStatus(first.id, first.fleet, first.client, connected, types, worst)


def _place(type_url: str) -> tuple[int, str]:
    return (ORDER.index(type_url) if type_url in ORDER else len(ORDER)), type_url


def _type(watched: Watched, type_url: str, now: float, confirm: float) -> TypeStatus:
    lane = watched.stream.lanes[type_url]
    since = watched.since.get(type_url, watched.connected_at)
    state, error = _state(watched, lane, type_url), lane.error
    wanted = watched.snapshot.catalogue(type_url).version
    acknowledged = wanted if state == SYNCED else lane.acknowledged
    if state == STALE and not error:
        error = _waiting(watched, lane, type_url, now - since, confirm)
    return TypeStatus(type_url, state, wanted, acknowledged, since, error)


def _state(watched: Watched, lane: Lane, type_url: str) -> str:
    catalogue = watched.snapshot.catalogue(type_url)
    base = catalogue.select(lane.subscription)
    if catalogue is EMPTY or (not base and not lane.nonce):
        return NOT_SENT
    if any(unit.content in lane.refused for resource in base.values() for unit in resource.units):
        return ERROR
    if lane.held is base:
        return SYNCED
    held = lane.held.keys() == base.keys() and all(lane.held[n].content == r.content for n, r in base.items())
    return SYNCED if held else STALE


def _waiting(watched: Watched, lane: Lane, type_url: str, seconds: float, confirm: float) -> str:
    seen, ours = watched.stream.seen, watched.snapshot.revision
    if type_url == RDS and seen > ours:
        return f"held back: the proxy has seen revision {seen} of this store, we are at {ours}"
    if lane.pending and seconds > confirm:
        return f"unconfirmed: not acknowledged for {seconds:.0f} s"
    return ""


def sync(streams: Iterable[Watched], service: str) -> Sync:
    """How many proxies that ask for the service's routes have acknowledged the newest, and which have refused them."""
    good: dict[str, bool] = {}
    refused: set[str] = set()
    for watched in streams:
        lane = watched.stream.lanes.get(RDS)
        places = watched.snapshot.routes.get(service, {})
        asked = [table for table in places if lane and lane.subscription.covers(table)]
        if lane is None or not asked:
            continue
        node = watched.node.id
        good[node] = good.get(node, True) and all(_has(watched, lane, table, places[table]) for table in asked)
        if any(places[table] & lane.refused for table in asked):
            refused.add(node)
    return Sync(synced=sum(good.values()), total=len(good), refused=tuple(sorted(refused)))


def _has(watched: Watched, lane: Lane, table: str, wanted: frozenset[str]) -> bool:
    if lane.held is watched.snapshot.catalogue(RDS).select(lane.subscription):
        return True
    held = lane.held.get(table)
    return held is not None and wanted <= {part.content for part in held.parts}
