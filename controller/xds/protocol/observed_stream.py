"""One open stream as the questions about proxies see it."""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.xds.protocol.node import Node
from controller.xds.protocol.stream_state import StreamState, TypeState
from controller.xds.resources.resource import NO_RESOURCES
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.type_urls import LDS, RDS


@dataclass(frozen=True, slots=True)
class ObservedStream:
    """One stream, and the newest snapshot of its fleet, which the stream may not have reached yet."""

    node: Node
    stream: StreamState
    snapshot: Snapshot
    connected_at: float
    """Unix seconds."""
    since: Mapping[str, float]
    """Type URL -> Unix seconds since when the type's state is what it is."""
    counts_endings: bool = False
    """Whether the client's listeners count how responses end."""

    @property
    def is_blind(self) -> bool:
        """Whether the client's listeners do not count how responses end."""
        return serves_blind_listeners(self.stream.types.get(LDS), counts_endings=self.counts_endings)

    def since_of(self, type_url: str) -> float:
        """Since when the type's state is what it is, in Unix seconds: at first, since the stream opened."""
        return self.since.get(type_url, self.connected_at)

    def routes_of(self, service: str) -> Mapping[str, frozenset[str]]:
        """The service's route configurations that the client is subscribed to, each with the content hashes of the
        service's virtual hosts in it. Empty without a subscription to any."""
        routes, state = self.snapshot.routes.get(service, {}), self.stream.types.get(RDS)
        selected = self.snapshot.catalogue(RDS).select(state.subscription) if state else NO_RESOURCES
        return {name: hosts for name, hosts in routes.items() if name in selected}

    def has_newest_routes(self) -> bool:
        """Whether the client has accepted every route configuration of the newest snapshot as it is."""
        state = self.stream.types.get(RDS)
        return state is not None and state.accepted is self.snapshot.catalogue(RDS).select(state.subscription)

    def lacks_routes_of(self, service: str) -> bool:
        """Whether the client still lacks at least one of the service's newest virtual hosts."""
        return not self.has_newest_routes() and any(
            not self._has(name, hosts) for name, hosts in self.routes_of(service).items()
        )

    def _has(self, name: str, hosts: frozenset[str]) -> bool:
        configuration = self.stream.types[RDS].accepted.get(name)
        return configuration is not None and hosts <= configuration.host_contents


def serves_blind_listeners(state: TypeState | None, *, counts_endings: bool) -> bool:
    """Whether a client serves listeners (a proxyless one does not), and they do not count how responses end.

    `state` is that of its listeners; None if it has not requested any.
    """
    return state is not None and state.subscription.wildcard and not counts_endings
