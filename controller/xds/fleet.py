"""What is known of the proxies: how far each is, per type and per service. Pure questions about streams."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from controller.core.control.sync import Sync
from controller.ports.fleet import ConfigState, Nack, ProxyStatus, TypeStatus, Wait
from controller.xds.gates import in_place
from controller.xds.lanes import Lane, Stream
from controller.xds.snapshot import CDS, EMPTY, ORDER, RDS, Snapshot
from controller.xds.wire import Node


@dataclass(frozen=True, slots=True)
class Watched:
    """One stream as it is looked at: `snapshot` is the newest of its fleet, which it may not have reached yet."""

    node: Node
    stream: Stream
    snapshot: Snapshot
    connected_at: float
    since: Mapping[str, float]


def statuses(
    streams: Iterable[Watched],
    running: Iterable[str],
    last_nack: Callable[[str, str], Nack | None],
    now: float,
    confirm: float,
) -> tuple[ProxyStatus, ...]:
    """Every proxy with all its streams together, and which of the `running` services' rollouts wait for it.

    `now` is Unix seconds; see `Limits.confirm`.
    """
    nodes: dict[tuple[str, str], list[Watched]] = {}
    for watched in streams:
        nodes.setdefault((watched.node.id, watched.node.fleet), []).append(watched)
    services = sorted(running)
    proxies = (_proxy(each, services, now, confirm) for _, each in sorted(nodes.items()))
    return tuple(replace(proxy, last_nack=last_nack(proxy.node, proxy.fleet)) for proxy in proxies)


def _proxy(streams: list[Watched], services: list[str], now: float, confirm: float) -> ProxyStatus:
    found: dict[str, TypeStatus] = {}
    for watched in streams:
        for url in watched.stream.lanes:
            status = _type(watched, url, now, confirm)
            if url not in found or status.state.badness > found[url].state.badness:
                found[url] = status
    types = tuple(found[url] for url in sorted(found, key=_place))
    worst = max((status.state for status in types), key=lambda state: state.badness, default=ConfigState.NOT_SENT)
    first = streams[0].node
    connected = min(watched.connected_at for watched in streams)
    waits = tuple(wait for watched in streams for wait in _waits(watched, services))
    return ProxyStatus(first.id, first.fleet, first.client, connected, types, worst, waits)


def _place(type_url: str) -> tuple[int, str]:
    return (ORDER.index(type_url) if type_url in ORDER else len(ORDER)), type_url


def _type(watched: Watched, type_url: str, now: float, confirm: float) -> TypeStatus:
    lane = watched.stream.lanes[type_url]
    since = _since(watched, type_url)
    state, error = _state(watched, lane, type_url), lane.error
    wanted = watched.snapshot.catalogue(type_url).version
    acknowledged = wanted if state is ConfigState.SYNCED else lane.acknowledged
    if state is ConfigState.STALE and not error:
        error = _waiting(watched, lane, type_url, now - since, confirm)
    return TypeStatus(type_url, state, wanted, acknowledged, since, error)


def _state(watched: Watched, lane: Lane, type_url: str) -> ConfigState:
    catalogue = watched.snapshot.catalogue(type_url)
    base = catalogue.select(lane.subscription)
    if catalogue is EMPTY or (not base and not lane.nonce):
        return ConfigState.NOT_SENT
    if any(unit.content in lane.refused for resource in base.values() for unit in resource.units):
        return ConfigState.ERROR
    if lane.held is base:
        return ConfigState.SYNCED
    held = lane.held.keys() == base.keys() and all(lane.held[n].content == r.content for n, r in base.items())
    return ConfigState.SYNCED if held else ConfigState.STALE


def _waiting(watched: Watched, lane: Lane, type_url: str, seconds: float, confirm: float) -> str:
    if type_url == RDS and watched.stream.ahead(watched.snapshot):
        return _held_back(watched)
    if lane.pending and seconds > confirm:
        return f"unconfirmed: not acknowledged for {seconds:.0f} s"
    return ""


def sync(streams: Iterable[Watched], service: str) -> Sync:
    """How many proxies that ask for the service's routes have acknowledged the newest, and which have refused them."""
    good: dict[str, bool] = {}
    nacked: set[str] = set()
    for watched in streams:
        lane = watched.stream.lanes.get(RDS)
        places = _asked(watched, lane, service)
        if lane is None or not places:
            continue
        node = watched.node.id
        good[node] = good.get(node, True) and all(_has(watched, lane, *place) for place in places.items())
        if any(wanted & lane.refused for wanted in places.values()):
            nacked.add(node)
    behind = tuple(sorted(node for node, serves in good.items() if not serves))
    return Sync(sum(good.values()), len(good), tuple(sorted(nacked)), behind)


def _asked(watched: Watched, lane: Lane | None, service: str) -> Mapping[str, frozenset[str]]:
    """The route tables of the service that the proxy asked for, and what it should have in them."""
    places = watched.snapshot.routes.get(service, {})
    return {table: wanted for table, wanted in places.items() if lane and lane.subscription.covers(table)}


def _has(watched: Watched, lane: Lane, table: str, wanted: frozenset[str]) -> bool:
    if lane.held is watched.snapshot.catalogue(RDS).select(lane.subscription):
        return True
    held = lane.held.get(table)
    return held is not None and wanted <= {part.content for part in held.parts}


def _waits(watched: Watched, services: list[str]) -> Iterator[Wait]:
    """The services whose newest routes this proxy has not, and why not yet."""
    lane = watched.stream.lanes.get(RDS)
    if lane is None or lane.held is watched.snapshot.catalogue(RDS).select(lane.subscription):
        return
    for service in services:
        places = _asked(watched, lane, service)
        if any(not _has(watched, lane, *place) for place in places.items()):
            yield _wait(watched, lane, service, places)


def _wait(watched: Watched, lane: Lane, service: str, places: Mapping[str, frozenset[str]]) -> Wait:
    wanted = frozenset[str]().union(*places.values())
    sent = lane.pending.after if lane.pending else {}
    if wanted & lane.refused:
        reason = f"refused: {lane.error}"
    elif watched.stream.ahead(watched.snapshot):
        reason = _held_back(watched)
    elif wanted <= {part.content for table in places if table in sent for part in sent[table].parts}:
        reason = "its routes are sent and not acknowledged"
    elif cold := _cold(watched, places, wanted):
        return Wait(service, f"clusters are not warm: {', '.join(cold)}", _since(watched, CDS))
    else:
        reason = "earlier routes are sent and not acknowledged"
    return Wait(service, reason, _since(watched, RDS))


def _cold(watched: Watched, places: Iterable[str], wanted: frozenset[str]) -> list[str]:
    """The clusters that the proxy has yet to acknowledge before it may have these routes."""
    there = in_place(watched.stream, watched.snapshot)
    tables = (watched.snapshot.catalogue(RDS).find(name) for name in places)
    needs = {name for table in tables if table for part in table.parts if part.content in wanted for name in part.needs}
    return [] if there is None else sorted(needs - there)


def _since(watched: Watched, type_url: str) -> float:
    return watched.since.get(type_url, watched.connected_at)


def _held_back(watched: Watched) -> str:
    ours, seen = watched.snapshot.revision, watched.stream.seen
    return f"held back: the proxy has seen revision {seen} of this store, we are at {ours}"
