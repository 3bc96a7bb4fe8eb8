"""How many proxies have ACKed a service's newest routes: counted as streams change, never by walking them.

Streams of one fleet that have the same subscription, have accepted the same routes and have NACKed the same are one
group (`fleet_streams`). Streams share what they accept, so there are few groups however many streams there are: usually
those that have ACKed the newest routes, and those that have yet to. A stream that ACKs moves from one group to another,
which costs the same for any number of streams and services. A new snapshot moves nothing: the groups are compared with
it when a service is asked for, and what was found stays true until a stream of the fleet moves or a snapshot follows.
"""

from collections.abc import Hashable, Iterable, Mapping

from controller.core.control.sync import Sync, joined
from controller.xds.protocol.fleet_streams import FleetStreams, Place
from controller.xds.protocol.node import Node
from controller.xds.protocol.stream_state import TypeState
from controller.xds.resources.resource import Resources
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.subscription import WILDCARD
from controller.xds.resources.type_urls import RDS

NO_ROUTES = TypeState()
"""The state of a stream that has not requested routes."""

_Subscriptions = list[tuple[str, str, frozenset[str]]]
"""A name to subscribe to, the route configuration that a client gets for it, and the service's hosts in that."""
_Source = tuple[FleetStreams, int, Snapshot, frozenset[str]]
"""A fleet, how often its streams had changed, the snapshot that they were compared with, and who was left out."""


class SyncCounts:
    """The streams of every fleet. Mutable, without I/O. A stream is any object that stands for one."""

    def __init__(self) -> None:
        self._fleets: dict[str, FleetStreams] = {}
        self._places: dict[Hashable, Place] = {}
        self._known: dict[str, tuple[list[_Source], Sync]] = {}
        """By service: what was found last, and from what."""

    @property
    def fleets(self) -> Iterable[str]:
        """The fleets that have a stream."""
        return self._fleets.keys()

    def update(self, stream: Hashable, node: Node, routes: TypeState | None, *, is_blind: bool = False) -> None:
        """The state of the stream's routes is this from now on; None as long as it has not requested any.

        `is_blind`: whether its client cannot report broken responses.
        """
        state = routes or NO_ROUTES
        old = self._places.get(stream)
        if old is not None and _is_unchanged(old, state, is_blind=is_blind):
            return  # a response was sent, or a request changed nothing
        new = Place(node.fleet, node.id, state.subscription, state.accepted, state.nacked, is_blind)
        if old is None:
            self._fleets.setdefault(node.fleet, FleetStreams()).add(new)
        else:
            self._fleets[node.fleet].move(old, new)
        self._places[stream] = new

    def remove(self, stream: Hashable) -> None:
        """The stream has ended. Does nothing for one that is not counted."""
        place = self._places.pop(stream, None)
        if place is None:
            return
        fleet = self._fleets[place.fleet]
        fleet.remove(place)
        if not fleet.groups:
            del self._fleets[place.fleet]

    def sync(self, service: str, snapshots: Mapping[str, Snapshot], excluded: frozenset[str] = frozenset()) -> Sync:
        """How many proxies that subscribe to the service's routes have accepted the newest, which have
        NACKed them, what split the others serve, and which cannot report broken responses.

        `snapshots` is by fleet, of the fleets that may serve it. A proxy is a node id of a fleet. One with several
        streams has the routes once all of them have, and has NACKed them if one has. The `excluded` nodes are left out.
        """
        sources = [
            (fleet, fleet.changes, snapshot, excluded)
            for name, snapshot in snapshots.items()
            if (fleet := self._fleets.get(name)) and service in snapshot.routes
        ]
        if not sources:
            self._known.pop(service, None)
            return Sync()
        known = self._known.get(service)
        if known is None or known[0] != sources:
            found = [_fleet_sync(fleet, snapshot, service, excluded) for fleet, _, snapshot, _ in sources]
            known = self._known[service] = sources, joined(found)
        return known[1]


def _is_unchanged(place: Place, state: TypeState, *, is_blind: bool) -> bool:
    """Whether a stream in that place is still there: quick, and no by mistake does no harm."""
    return (
        place.accepted is state.accepted
        and place.subscription is state.subscription
        and place.nacked is state.nacked
        and place.is_blind == is_blind
    )


def _fleet_sync(fleet: FleetStreams, snapshot: Snapshot, service: str, excluded: frozenset[str]) -> Sync:
    """How far the proxies of one fleet are."""
    subscriptions = _subscriptions(snapshot.routes[service], snapshot.catalogue(RDS).listed)
    splits: dict[str, str] = {}
    nacked: set[str] = set()
    for subscribed, name, hosts in subscriptions:
        for group in fleet.by_name.get(subscribed, {}).values():
            if not group.has(name, hosts):
                splits |= dict.fromkeys(group.streams, group.split_of(service))
            if hosts & group.nacked:
                nacked.update(group.streams)
    nodes = fleet.subscribed(each for each, _, _ in subscriptions)
    if excluded:
        nodes = {*nodes} - excluded
        nacked -= excluded
        splits = {node: split for node, split in splits.items() if node not in excluded}
    blind = tuple(sorted(node for node in fleet.blind if node in nodes))
    return Sync(len(nodes) - len(splits), len(nodes), tuple(sorted(nacked)), tuple(sorted(splits)), splits, blind)


def _subscriptions(routes: Mapping[str, frozenset[str]], listed: Resources) -> _Subscriptions:
    """All by which a client gets these routes: their names, and "*" for those that it gets without naming them."""
    by_name = [(name, name, hosts) for name, hosts in routes.items()]
    return by_name + [(WILDCARD, name, hosts) for name, hosts in routes.items() if name in listed]
