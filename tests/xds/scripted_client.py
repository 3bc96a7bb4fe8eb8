"""A client of one stream, without a network: a test sends its requests and events one at a time."""

from collections.abc import Sequence

from controller.core.model.service_state import ServiceState
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, Event
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.numbered_stream import NumberedStream, SentResponse
from tests.xds.views import STORE, view


class ScriptedClient:
    """One stream, SotW or Delta. Every method returns the responses that the server sends then."""

    def __init__(
        self, *states: ServiceState, delta: bool = False, revision: int = 1, store: str = STORE, shared: bool = True
    ) -> None:
        self.snapshots = SnapshotCache()
        self.revision = revision
        self.snapshots.update(view(revision, *states, store=store))
        self.delta = delta
        self._stream = NumberedStream(delta=delta, shared=shared)
        self._stream.step(self.snapshot)

    @property
    def stream(self) -> StreamState:
        """The state of the stream."""
        return self._stream.state

    def newest_nonce(self, type_url: str) -> str:
        """The nonce of the newest response of that type."""
        return self._stream.newest[type_url]

    @property
    def snapshot(self) -> Snapshot:
        """What is served now."""
        snapshot = self.snapshots.snapshot("")
        assert snapshot
        return snapshot

    def restart(self) -> None:
        """A new stream, before the first view."""
        self._stream = NumberedStream(delta=self.delta)

    def event(self, event: Event) -> list[SentResponse]:
        """Any event."""
        return self._stream.step(event)

    def publish(self, *states: ServiceState, revision: int | None = None) -> list[SentResponse]:
        """The next view."""
        self.revision = revision or self.revision + 1
        self.snapshots.update(view(self.revision, *states))
        return self.event(self.snapshot)

    def request(self, type_url: str, *names: str, version: str = "", nonce: str = "") -> list[SentResponse]:
        """SotW: a request with the full list of names."""
        return self.event(DiscoveryRequest(type_url, names, version_info=version, response_nonce=nonce))

    def subscribe(self, type_url: str, *names: str, initial: Sequence[tuple[str, str]] = ()) -> list[SentResponse]:
        """Delta: subscribe to names; `initial` are the versions that the client has."""
        return self.event(DeltaDiscoveryRequest(type_url, subscribe=names, initial_resource_versions=tuple(initial)))

    def unsubscribe(self, type_url: str, *names: str) -> list[SentResponse]:
        """Delta: unsubscribe from names."""
        return self.event(DeltaDiscoveryRequest(type_url, unsubscribe=names))

    def ack(self, response: SentResponse, *names: str) -> list[SentResponse]:
        """ACK; in SotW with the subscribed names."""
        return self._answer(response, names, None)

    def nack(self, response: SentResponse, *names: str, error: str = "bad") -> list[SentResponse]:
        """NACK; in SotW with the subscribed names."""
        return self._answer(response, names, error)

    def _answer(self, response: SentResponse, names: Sequence[str], error: str | None) -> list[SentResponse]:
        url, nonce = response.type_url, response.nonce
        if self.delta:
            return self.event(DeltaDiscoveryRequest(url, response_nonce=nonce, error_detail=error))
        version = response.version_info if error is None else ""
        return self.event(DiscoveryRequest(url, tuple(names), version, nonce, error))


def synced_client(*states: ServiceState, delta: bool = False, revision: int = 1) -> ScriptedClient:
    """A client that has ACKed everything, as an Envoy requests it."""
    client = ScriptedClient(*states, delta=delta, revision=revision)
    request = client.subscribe if delta else client.request
    clusters = sorted(client.snapshot.catalogue(EDS).listed)
    configurations = sorted(client.snapshot.catalogue(RDS).listed)
    for type_url, subscribed in ((CDS, []), (EDS, clusters), (LDS, []), (RDS, configurations)):
        for response in request(type_url, *subscribed):
            assert client.ack(response, *subscribed) == []
    return client


def names(response: SentResponse) -> list[str]:
    """The names of the resources in a response."""
    return sorted(resource.name for resource in response.resources)


def types(responses: Sequence[SentResponse]) -> list[str]:
    """The types of some responses, in their order."""
    return [response.type_url for response in responses]
