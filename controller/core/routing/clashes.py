"""Services that cannot be served side by side: two that claim one address, or one host and path on it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from controller.core.model.route_rules import PathMatch
from controller.core.model.service import Listen, Service
from controller.core.model.service_state import ServiceState

K = TypeVar("K")
_Index = dict[K, dict[str, ServiceState]]
"""Place -> the services that claim it, by name."""

ANY_ADDRESS = frozenset(("0.0.0.0", "::"))  # noqa: S104  (compared, not bound)


def find_clashes(states: Iterable[ServiceState]) -> list[str]:
    """One sentence for each pair of services that claims the same place; empty if all can be served together."""
    clashes: list[str] = []
    claims = Claims()
    for state in sorted(states, key=lambda s: s.name):
        clashes += [text for _, text in claims.clashes_with(state)]
        claims.add(state)
    return clashes


class Claims:
    """The claimed listeners, hosts and paths, indexed: a service is compared only with those it can clash with.
    Mutable."""

    def __init__(self) -> None:
        self._states: dict[str, ServiceState] = {}
        self._by_path: _Index[tuple[str, str, PathMatch]] = {}
        self._by_port: _Index[tuple[int, bool]] = {}
        self._by_cluster: _Index[str] = {}
        self._by_listener: dict[str, _Index[Listen | None]] = {}

    def follow(self, states: Mapping[str, ServiceState]) -> None:
        """Claim the places of these services, and of no others. It costs what has changed since the last time."""
        for name in [name for name, state in self._states.items() if states.get(name) is not state]:
            self.remove(name)
        for name in states.keys() - self._states.keys():
            self.add(states[name])

    def add(self, state: ServiceState) -> None:
        """Claim the place of this service, which has none."""
        self._states[state.name] = state
        for index, key in self._places(state):
            index.setdefault(key, {})[state.name] = state

    def remove(self, name: str) -> None:
        """Give up the place of that service."""
        state = self._states.pop(name)
        for index, key in self._places(state):
            del index[key][name]
            if not index[key]:
                del index[key]
        if not self._by_listener[state.spec.route_configuration]:
            del self._by_listener[state.spec.route_configuration]

    def clashes_with(self, state: ServiceState) -> list[tuple[str, str]]:
        """Each service that this one clashes with, and how they clash."""
        listen = state.spec.listen
        rivals: dict[str, ServiceState] = {}
        for key in _paths(state):
            rivals |= self._by_path.get(key, {})
        for cluster in _own_clusters(state):
            rivals |= self._by_cluster.get(cluster, {})
        if listen:
            rivals |= self._by_port.get((listen.port, True), {})
            rivals |= self._by_port.get((listen.port, False), {}) if listen.address in ANY_ADDRESS else {}
        for known, states in self._by_listener.get(state.spec.route_configuration, {}).items():
            rivals |= states if known != listen else {}
        return [(name, text) for name, other in sorted(rivals.items()) if (text := _describe_clash(other, state))]

    def _places(self, state: ServiceState) -> Iterator[tuple[_Index[Any], Any]]:
        """Where a service stands in each index."""
        listen, configuration = state.spec.listen, state.spec.route_configuration
        for path in _paths(state):
            yield self._by_path, path
        for cluster in _own_clusters(state):
            yield self._by_cluster, cluster
        yield self._by_listener.setdefault(configuration, {}), listen
        if listen:
            yield self._by_port, (listen.port, listen.address in ANY_ADDRESS)


def _paths(state: ServiceState) -> list[tuple[str, str, PathMatch]]:
    spec = state.spec
    return [(spec.route_configuration, domain, path) for domain in spec.hosts for path in spec.paths]


def _own_clusters(state: ServiceState) -> set[str]:
    return {version.cluster for version in state.spec.versions if version.cluster}


def _describe_clash(a: ServiceState, b: ServiceState) -> str:
    """How the two clash; empty if they do not. What is counted of a cluster is of one service, in whatever fleet."""
    if both := _own_clusters(a) & _own_clusters(b):
        return f"{a.name} and {b.name} both have the cluster {min(both)}"
    one, two = a.spec, b.spec
    if one.fleets and two.fleets and not set(one.fleets) & set(two.fleets):
        return ""
    if one.route_configuration != two.route_configuration:
        if one.listen and two.listen and _cannot_both_be_bound(one.listen, two.listen):
            return f"{one.listen} of {one.name} and {two.listen} of {two.name} cannot both be bound"
        return ""
    if one.listen != two.listen:
        share = f"{one.name} and {two.name} share {one.listen}"
        return f"{share} and must agree in everything under listen{_and_manager(one, two)}"
    hosts, paths = set(one.hosts) & set(two.hosts), set(one.paths) & set(two.paths)
    if hosts and paths:
        place = f"{min(hosts)}{min(map(str, paths))}"
        return f"{one.name} and {two.name} both claim {place} on {one.route_configuration}"
    return ""


def _and_manager(one: Service, two: Service) -> str:
    """Envoy's own fields are those of the listener, and another key of the file."""
    managers = {listen.http_connection_manager for listen in (one.listen, two.listen) if listen}
    return ", and in envoy.http_connection_manager" if len(managers) > 1 else ""


def _cannot_both_be_bound(one: Listen, two: Listen) -> bool:
    """Of two different addresses: whether they share a port, and one stands for every address."""
    return one.port == two.port and bool({one.address, two.address} & ANY_ADDRESS)
