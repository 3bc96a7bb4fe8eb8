"""How far each proxy is, per resource type, and which rollouts wait for it. Pure questions about streams."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace

from controller.ports.fleet import ConfigState, Nack, ProxyStatus, RolloutWait, TypeStatus
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.protocol.ordering import routable_clusters
from controller.xds.protocol.stream_state import TypeState
from controller.xds.resources.catalogue import EMPTY_CATALOGUE
from controller.xds.resources.resource import Resources
from controller.xds.resources.type_urls import CDS, EDS, FULL_STATE_TYPES, PUSH_ORDER, RDS


class ProxyStatuses:
    """Finds how far each proxy is, and remembers it while nothing has happened to the proxy: most are as they were
    when they were last asked about, and of thousands that is most of the cost. Mutable; not for several threads."""

    def __init__(self, confirm: float) -> None:
        """`confirm` is `Limits.confirm`."""
        self._confirm = confirm
        self._known: dict[tuple[str, str], _Remembered] = {}

    def of(
        self,
        streams: Iterable[ObservedStream],
        running: Iterable[str],
        last_nack: Callable[[str, str], Nack | None],
        now: float,
    ) -> tuple[ProxyStatus, ...]:
        """Every proxy, with all its streams together, and which of the `running` services' rollouts wait for it.

        `now` is Unix seconds.
        """
        nodes: dict[tuple[str, str], list[ObservedStream]] = {}
        for observed in streams:
            nodes.setdefault((observed.node.id, observed.node.fleet), []).append(observed)
        before, self._known = self._known, {}
        services = sorted(running)
        return tuple(
            self._status(node, nodes[node], before.get(node), services, last_nack(*node), now) for node in sorted(nodes)
        )

    def _status(
        self,
        node: tuple[str, str],
        streams: list[ObservedStream],
        before: "_Remembered | None",
        services: list[str],
        nack: Nack | None,
        now: float,
    ) -> ProxyStatus:
        if before is not None and before.status.last_nack is nack and before.is_of(streams):
            self._known[node] = before
            return before.status
        status = _proxy(streams, services, now, self._confirm)
        if nack is not None:
            status = replace(status, last_nack=nack)
        if status.state is not ConfigState.STALE and not status.waits:  # else time, too, changes what is said of it
            self._known[node] = _Remembered(streams, status)
        return status


class _Remembered:
    """The status of a proxy, and what it was made of."""

    def __init__(self, streams: list[ObservedStream], status: ProxyStatus) -> None:
        self.status = status
        self._streams = streams
        self._since = [tuple(each.since.values()) for each in streams]  # the mapping is the stream's own, and changes

    def is_of(self, streams: list[ObservedStream]) -> bool:
        """Whether nothing has happened to the proxy."""
        return len(streams) == len(self._streams) and all(map(_is_unchanged, self._streams, self._since, streams))


def _is_unchanged(before: ObservedStream, since: tuple[float, ...], now: ObservedStream) -> bool:
    return (
        now.stream is before.stream
        and now.snapshot is before.snapshot
        and now.connected_at == before.connected_at
        and now.counts_endings == before.counts_endings
        and tuple(now.since.values()) == since
    )


def _proxy(streams: list[ObservedStream], services: list[str], now: float, confirm: float) -> ProxyStatus:
    worst_by_type: dict[str, TypeStatus] = {}
    for observed in streams:
        for url in observed.stream.types:
            status = _type(observed, url, now, confirm)
            known = worst_by_type.get(url)
            if known is None or status.state.badness > known.state.badness:
                worst_by_type[url] = status
    types = tuple(worst_by_type[url] for url in sorted(worst_by_type, key=_sort_key))
    worst = max((status.state for status in types), key=lambda state: state.badness, default=ConfigState.NOT_SENT)
    first = streams[0].node
    connected = min(observed.connected_at for observed in streams)
    waits = tuple(wait for observed in streams for wait in _waits(observed, services))
    is_blind = any(observed.is_blind for observed in streams)
    return ProxyStatus(first.id, first.fleet, first.client, connected, types, worst, waits, is_blind=is_blind)


def _sort_key(type_url: str) -> tuple[int, str]:
    return (PUSH_ORDER.index(type_url) if type_url in PUSH_ORDER else len(PUSH_ORDER)), type_url


def _type(observed: ObservedStream, type_url: str, now: float, confirm: float) -> TypeStatus:
    state = observed.stream.types[type_url]
    since = observed.since_of(type_url)
    status, error = _status(observed, state, type_url), state.error_detail
    wanted = observed.snapshot.catalogue(type_url).version
    acked = wanted if status is ConfigState.SYNCED else state.acked_version
    if status is ConfigState.STALE and not error:
        error = _reason_for_delay(observed, state, type_url, now - since, confirm)
    return TypeStatus(type_url, status, wanted, acked, since, error)


def _status(observed: ObservedStream, state: TypeState, type_url: str) -> ConfigState:
    catalogue = observed.snapshot.catalogue(type_url)
    base = catalogue.select(state.subscription)
    if catalogue is EMPTY_CATALOGUE or (not base and not state.responded):
        return ConfigState.NOT_SENT
    if any(unit.content in state.nacked for resource in base.values() for unit in resource.units):
        return ConfigState.ERROR
    accepted = state.accepted
    if accepted is base:
        return ConfigState.SYNCED
    same = all(n in accepted and accepted[n].content == r.content for n, r in base.items())
    if observed.stream.delta or type_url in FULL_STATE_TYPES:  # else a removal cannot be sent
        same = same and not _surplus(observed, state, type_url, base)
    return ConfigState.SYNCED if same else ConfigState.STALE


def _surplus(observed: ObservedStream, state: TypeState, type_url: str, base: Resources) -> Set[str]:
    """What the client has and should no longer have. Endpoints of a cluster that is served are none of that, although
    the snapshot has none: their source has yet to be read, and the client keeps them."""
    surplus = state.accepted.keys() - base.keys()
    return surplus - observed.snapshot.catalogue(CDS).listed.keys() if type_url == EDS else surplus


def _reason_for_delay(observed: ObservedStream, state: TypeState, type_url: str, seconds: float, confirm: float) -> str:
    if type_url == RDS and observed.stream.is_ahead_of(observed.snapshot):
        return _held_back(observed)
    if state.pending and seconds > confirm:
        return f"unconfirmed: no ACK for {seconds:.0f} s"
    return ""


def _waits(observed: ObservedStream, services: list[str]) -> Iterator[RolloutWait]:
    """The services whose newest routes this proxy has yet to ACK, and why."""
    state = observed.stream.types.get(RDS)
    if state is None or observed.has_newest_routes():
        return
    for service in services:
        if observed.lacks_routes_of(service):
            yield _wait(observed, state, service)


def _wait(observed: ObservedStream, state: TypeState, service: str) -> RolloutWait:
    routes = observed.routes_of(service)
    wanted = frozenset[str]().union(*routes.values())
    sent = state.pending.target if state.pending else {}
    if wanted & state.nacked:
        reason = f"NACK: {state.error_detail}"
    elif observed.stream.is_ahead_of(observed.snapshot):
        reason = _held_back(observed)
    elif wanted <= {host.content for name in routes if name in sent for host in sent[name].virtual_hosts}:
        reason = "its routes are sent and not ACKed"
    elif warming := _warming_clusters(observed, routes, wanted):
        return RolloutWait(service, f"clusters are not warm: {', '.join(warming)}", observed.since_of(CDS))
    else:
        reason = "earlier routes are sent and not ACKed"
    return RolloutWait(service, reason, observed.since_of(RDS))


def _warming_clusters(observed: ObservedStream, routes: Iterable[str], wanted: frozenset[str]) -> list[str]:
    """The clusters that the proxy has yet to ACK before it can have these routes."""
    routable = routable_clusters(observed.stream, observed.snapshot)
    if routable is None:
        return []
    configurations = (observed.snapshot.catalogue(RDS).find(name) for name in routes)
    hosts = [host for configuration in configurations if configuration for host in configuration.virtual_hosts]
    needed = {name for host in hosts if host.content in wanted for name in host.clusters}
    return sorted(needed - routable)


def _held_back(observed: ObservedStream) -> str:
    ours, seen = observed.snapshot.revision, observed.stream.seen_revision
    return f"held back: the proxy has seen revision {seen} of this store, this controller is at {ours}"
