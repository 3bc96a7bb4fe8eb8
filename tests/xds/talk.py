"""A stream and a test that speaks to it, one message at a time."""

from collections.abc import Sequence

from controller.core.model.state import ServiceState
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse, Event
from controller.xds.protocol.stream import step
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.worlds import STORE, view


class Talk:
    """What is said on one stream, state of the world or Delta. Every method returns what the server sends then."""

    def __init__(
        self, *states: ServiceState, delta: bool = False, revision: int = 1, store: str = STORE, shared: bool = True
    ) -> None:
        self.world = SnapshotCache()
        self.revision = revision
        self.world.update(view(revision, *states, store=store))
        self.delta = delta
        self.stream, _ = step(StreamState(delta=delta, shared=shared), self.snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """What is served now."""
        found = self.world.snapshot("")
        assert found
        return found

    def event(self, event: Event) -> list[DiscoveryResponse]:
        """Anything."""
        self.stream, replies = step(self.stream, event)
        return list(replies)

    def publish(self, *states: ServiceState, revision: int | None = None) -> list[DiscoveryResponse]:
        """The next view."""
        self.revision = revision or self.revision + 1
        self.world.update(view(self.revision, *states))
        return self.event(self.snapshot)

    def ask(self, type_url: str, *names: str, version: str = "", nonce: str = "") -> list[DiscoveryResponse]:
        """State of the world: these names, all of them."""
        return self.event(DiscoveryRequest(type_url, names, version_info=version, response_nonce=nonce))

    def subscribe(self, type_url: str, *names: str, initial: Sequence[tuple[str, str]] = ()) -> list[DiscoveryResponse]:
        """Delta: these names too; `initial` are the versions that the client has."""
        return self.event(DeltaDiscoveryRequest(type_url, subscribe=names, initial_resource_versions=tuple(initial)))

    def unsubscribe(self, type_url: str, *names: str) -> list[DiscoveryResponse]:
        """Delta: these names no more."""
        return self.event(DeltaDiscoveryRequest(type_url, unsubscribe=names))

    def ack(self, reply: DiscoveryResponse, *names: str) -> list[DiscoveryResponse]:
        """Accepted; in the state of the world with the names that are subscribed now."""
        return self._answer(reply, names, None)

    def nack(self, reply: DiscoveryResponse, *names: str, error: str = "bad") -> list[DiscoveryResponse]:
        """Refused."""
        return self._answer(reply, names, error)

    def _answer(self, reply: DiscoveryResponse, names: Sequence[str], error: str | None) -> list[DiscoveryResponse]:
        if self.delta:
            return self.event(DeltaDiscoveryRequest(reply.type_url, response_nonce=reply.nonce, error_detail=error))
        version = reply.version_info if error is None else ""
        return self.event(
            DiscoveryRequest(
                reply.type_url, tuple(names), version_info=version, response_nonce=reply.nonce, error_detail=error
            )
        )


def greeted(*states: ServiceState, delta: bool = False, revision: int = 1) -> Talk:
    """A stream on which an Envoy has everything."""
    talk = Talk(*states, delta=delta, revision=revision)
    ask = talk.subscribe if delta else talk.ask
    endpoints, tables = sorted(talk.snapshot.catalogue(EDS).listed), sorted(talk.snapshot.catalogue(RDS).listed)
    for type_url, asked in ((CDS, []), (EDS, endpoints), (LDS, []), (RDS, tables)):
        for reply in ask(type_url, *asked):
            assert talk.ack(reply, *asked) == []
    return talk


def names(reply: DiscoveryResponse) -> list[str]:
    """What a response carries."""
    return sorted(resource.name for resource in reply.resources)


def types(replies: Sequence[DiscoveryResponse]) -> list[str]:
    """The types of some responses, in their order."""
    return [reply.type_url for reply in replies]
