"""The streams of one fleet, in groups that have the same routes; and which nodes have which subscriptions."""

from collections import Counter
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.xds.resources.resource import Resources
from controller.xds.resources.resource_version import combined_hash
from controller.xds.resources.subscription import WILDCARD, Subscription


class Place(NamedTuple):
    """Where a stream is counted: of which node, and in what state its routes are."""

    fleet: str
    node: str
    subscription: Subscription
    accepted: Resources
    nacked: frozenset[str]
    is_blind: bool

    @property
    def names(self) -> frozenset[str]:
        """The subscribed names, with "*" for everything."""
        names = self.subscription.names
        return names | {WILDCARD} if self.subscription.wildcard else names


@dataclass(slots=True, eq=False)
class StreamGroup:
    """Streams whose routes are in the same state."""

    accepted: Resources
    nacked: frozenset[str]
    streams: Counter[str] = field(default_factory=Counter)
    """Node id -> how many of its streams are in this group."""
    _splits: dict[str, str] = field(default_factory=dict)

    def has(self, name: str, hosts: Set[str]) -> bool:
        """Whether its streams have accepted these virtual hosts (content hashes) in that route configuration."""
        configuration = self.accepted.get(name)
        return configuration is not None and hosts <= configuration.host_contents

    def split_of(self, service: str) -> str:
        """A name of the split that they have accepted of a service: the hash of its virtual hosts."""
        split = self._splits.get(service)
        if split is None:
            hosts = [each for r in self.accepted.values() for each in r.contents_by_service.get(service, ())]
            split = self._splits[service] = combined_hash(sorted(hosts))
        return split


_Key = tuple[int, Subscription, frozenset[str]]


@dataclass(slots=True, eq=False)
class FleetStreams:
    """All streams of one fleet. Mutable. The names are those of route configurations, or "*"."""

    groups: dict[_Key, StreamGroup] = field(default_factory=dict)
    by_name: dict[str, dict[_Key, StreamGroup]] = field(default_factory=dict)
    """Name -> the groups whose streams are subscribed to it."""
    blind: Counter[str] = field(default_factory=Counter)
    """Node id -> how many of its streams are of a client that cannot report broken responses."""
    changes: int = 0
    """How often a stream has come, changed or gone."""
    _subscribers: dict[str, Counter[str]] = field(default_factory=dict)
    """Name -> node id -> how many of its streams are subscribed to it."""

    def add(self, place: Place) -> None:
        """A stream has come."""
        self._enter(place)
        self._subscribe(place.node, place.names)

    def remove(self, place: Place) -> None:
        """A stream has gone."""
        self._leave(place)
        self._unsubscribe(place.node, place.names)

    def move(self, old: Place, new: Place) -> None:
        """A stream of one node has changed."""
        self._enter(new)
        self._leave(old)
        if old.subscription != new.subscription:
            self._subscribe(new.node, new.names - old.names)
            self._unsubscribe(old.node, old.names - new.names)

    def subscribed(self, names: Iterable[str]) -> Collection[str]:
        """The nodes with a subscription to any of these names."""
        found = [nodes for name in {*names} if (nodes := self._subscribers.get(name))]
        return found[0].keys() if len(found) == 1 else set().union(*found)

    def _enter(self, place: Place) -> None:
        self.changes += 1
        key = _key(place)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = StreamGroup(place.accepted, place.nacked)
            for name in place.names:
                self.by_name.setdefault(name, {})[key] = group
        group.streams[place.node] = group.streams.get(place.node, 0) + 1
        if place.is_blind:
            self.blind[place.node] += 1

    def _leave(self, place: Place) -> None:
        self.changes += 1
        key = _key(place)
        streams = self.groups[key].streams
        _drop(streams, place.node)
        if not streams:
            del self.groups[key]
            for name in place.names:
                del self.by_name[name][key]
                if not self.by_name[name]:
                    del self.by_name[name]
        if place.is_blind:
            _drop(self.blind, place.node)

    def _subscribe(self, node: str, names: Iterable[str]) -> None:
        for name in names:
            self._subscribers.setdefault(name, Counter())[node] += 1

    def _unsubscribe(self, node: str, names: Iterable[str]) -> None:
        for name in names:
            _drop(self._subscribers[name], node)
            if not self._subscribers[name]:
                del self._subscribers[name]


def _key(place: Place) -> _Key:
    return id(place.accepted), place.subscription, place.nacked  # the group keeps `accepted`, so its id stays its own


def _drop(nodes: Counter[str], node: str) -> None:
    """Count one stream of the node less."""
    nodes[node] -= 1
    if not nodes[node]:
        del nodes[node]
