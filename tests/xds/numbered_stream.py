"""One stream without I/O, as a connection has it: its state, which all streams of the tests share, and its nonces."""

from typing import NamedTuple

from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, Event
from controller.xds.protocol.nonces import Nonces
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.resource import Resource
from controller.xds.shared_steps import SharedSteps

STEPS = SharedSteps("haldane/test")


class SentResponse(NamedTuple):
    """A response with its nonce."""

    type_url: str
    version_info: str
    nonce: str
    resources: tuple[Resource, ...]
    removed_resources: tuple[str, ...] = ()


class NumberedStream:
    """A stream whose requests and responses have nonces."""

    def __init__(self, *, delta: bool, shared: bool = True) -> None:
        self.state = StreamState(delta=delta, shared=shared)
        self._nonces = Nonces()
        self.newest: dict[str, str] = {}
        """Type URL -> the nonce of its newest response."""

    def step(self, event: Event) -> list[SentResponse]:
        """The responses to send after that event."""
        if isinstance(event, DiscoveryRequest | DeltaDiscoveryRequest):
            event = self._nonces.resolve(event)
        step = STEPS.step(self.state, event)
        self.state = step.stream
        sent = []
        for url, version, resources, removed in step.responses:
            self.newest[url] = self._nonces.next(url)
            sent.append(SentResponse(url, version, self.newest[url], resources, removed))
        return sent
