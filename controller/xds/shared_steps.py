"""Steps of streams, each computed and serialised once for all streams in the same state."""

from collections.abc import Hashable

from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse, Event
from controller.xds.protocol.stream import step
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.subscription import Subscription
from controller.xds.wire import serialize_delta_response, serialize_response

MAX_STEPS = 1024
"""Steps that are remembered: more than streams of different pasts take between two snapshots."""

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of the requests and responses that are remembered, in each of two generations: a hostile client may send long
ones, each another. That is the first responses to a hundred different subscriptions to 1000 services."""

NAME_OVERHEAD = 64
"""Bytes that Python needs for a name beside its characters."""


class SharedStep:
    """What an event makes of a stream: its next state, the responses, and the bytes of each but for the nonce."""

    __slots__ = ("_before", "bodies", "responses", "stream")

    def __init__(
        self, before: StreamState, stream: StreamState, responses: tuple[DiscoveryResponse, ...], identifier: str
    ) -> None:
        self._before = before  # as long as it is there, no other state gets its id
        self.stream = stream
        self.responses = responses
        serialize = serialize_delta_response if stream.delta else serialize_response
        self.bodies = tuple(serialize(response, identifier) for response in responses)


class SharedSteps:
    """Takes each step once for all streams that are in the same state; that is possible because `step` is pure.

    Streams that began in the same state and had the same events share one object as their state. A state that is
    reached in another way is replaced by the equal one that is known. What is not used between two calls of
    `evict_unused` is forgotten, with the snapshots that it holds.
    """

    def __init__(self, identifier: str, limit: int = MAX_STEPS, size: int = MAX_BYTES) -> None:
        """`identifier` names the control plane in every response."""
        self._identifier = identifier
        self._size = size
        self._remembered = 0
        """Bytes of the newest generation."""
        self._steps = RecentCache(limit)
        self._states = RecentCache(limit)

    def step(self, stream: StreamState, event: Event) -> SharedStep:
        """The stream after the event, and the responses to send now. Never raises."""
        return self._steps.get((id(stream), event), self._take, stream, event)

    def share(self, stream: StreamState) -> StreamState:
        """The state that is known and equal to this one, or else this one."""
        return self._states.get(_key(stream), lambda: stream)

    def evict_unused(self) -> None:
        """Forget what was not used since the last call."""
        self._steps.evict_unused()
        self._states.evict_unused()
        self._remembered = 0

    def _take(self, before: StreamState, event: Event) -> SharedStep:
        stream, responses = step(before, event)
        taken = SharedStep(before, self.share(stream), responses, self._identifier)
        self._remembered += _length(event) + sum(map(len, taken.bodies))
        if self._remembered > self._size:
            self.evict_unused()
        return taken


def _length(event: Event) -> int:
    """About how many bytes it takes to remember the event."""
    match event:
        case DiscoveryRequest():
            texts = [*event.resource_names, event.version_info]
        case DeltaDiscoveryRequest():
            texts = [*event.subscribe, *event.unsubscribe]
            texts += [text for pair in event.initial_resource_versions for text in pair]
        case _:
            return 0
    return sum(map(len, texts)) + NAME_OVERHEAD * len(texts) + len(event.error_detail or "")


def _key(stream: StreamState) -> Hashable:
    """What equal states have in common: equal small values, and the same resources, snapshots and pending responses."""
    types = frozenset((url, *map(_part, state)) for url, state in stream.types.items())
    return types, *(_part(value) for value in stream if value is not stream.types)


def _part(value: object) -> Hashable:
    return value if isinstance(value, str | int | frozenset | Subscription) else id(value)
