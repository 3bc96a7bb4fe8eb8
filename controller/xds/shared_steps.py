"""Steps of streams, each computed and serialised once for all streams in the same state."""

from collections.abc import Hashable

from controller.xds.protocol.discovery import DiscoveryResponse, Event
from controller.xds.protocol.stream import step
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.recent_cache import RecentCache
from controller.xds.resources.subscription import Subscription
from controller.xds.wire import serialize_delta_response, serialize_response

MAX_STEPS = 1024
"""Steps that are remembered: more than streams of different pasts take between two snapshots."""


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

    def __init__(self, identifier: str, limit: int = MAX_STEPS) -> None:
        """`identifier` names the control plane in every response."""
        self._identifier = identifier
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

    def _take(self, before: StreamState, event: Event) -> SharedStep:
        stream, responses = step(before, event)
        return SharedStep(before, self.share(stream), responses, self._identifier)


def _key(stream: StreamState) -> Hashable:
    """What equal states have in common: equal small values, and the same resources, snapshots and pending responses."""
    types = frozenset((url, *map(_part, state)) for url, state in stream.types.items())
    return types, *(_part(value) for value in stream if value is not stream.types)


def _part(value: object) -> Hashable:
    return value if isinstance(value, str | int | frozenset | Subscription) else id(value)
