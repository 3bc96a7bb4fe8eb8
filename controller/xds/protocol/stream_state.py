"""The state of one xDS stream, as values: one state for each resource type, independent except for the ordering.

Named tuples, because each step of each stream makes several new ones.

What a client declares from an earlier stream is `version_info` (SotW) or `initial_resource_versions` (Delta) in its
first request of a type: what it has from before it reconnected.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from controller.xds.resources.resource import NO_RESOURCES, Resource, Resources
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.subscription import NO_NAMES, Subscription


class PendingResponse(NamedTuple):
    """The one response of a type that the client has neither ACKed nor NACKed yet."""

    version: str
    target: Resources
    """What the client has if it ACKs."""
    resources: tuple[Resource, ...]
    """What the response carries."""
    snapshot: Snapshot
    """The snapshot that it was made of; there may be a newer one now."""


class TypeState(NamedTuple):
    """One resource type on one stream."""

    subscription: Subscription = NO_NAMES
    accepted: Resources = NO_RESOURCES
    """What the client has accepted, as far as this stream knows."""
    pending: PendingResponse | None = None
    responded: bool = False
    """Whether there was a response yet."""
    must_send: frozenset[str] = frozenset()
    """Names to send even if the client may have them: newly subscribed, or their cluster changed."""
    must_respond: bool = False
    """Whether to respond even if there is nothing to send."""
    initial_version: str = ""
    """The newest version that the client declared from an earlier stream, until the first response."""
    nacked: frozenset[str] = frozenset()
    """Content hashes that the client NACKed; not sent again on this stream unless a retry says so."""
    retryable: frozenset[str] = frozenset()
    """Those of them that the client NACKed because of its environment: the same content may be accepted later."""
    nacked_target: Resources | None = None
    """What the client would have if it had ACKed the response that it NACKed last."""
    nacked_last: bool = False
    """Whether the client has not ACKed anything since its last NACK."""
    error_detail: str = ""
    """The message of the last NACK, for as long as something NACKed is still wanted."""
    acked_version: str = ""
    """The version that the client ACKed last."""


class StreamState(NamedTuple):
    """One stream."""

    delta: bool
    aggregated: bool = True
    """Whether all types come on this stream (ADS), so that a type without a request is a type not used."""
    snapshot: Snapshot | None = None
    types: Mapping[str, TypeState] = MappingProxyType({})
    """By type URL; every type that the client has requested."""
    seen_revision: int = 0
    """The highest revision of this store that the client has declared."""
    reconnected: bool = False
    """Whether the client declared anything from an earlier stream, to this or another control plane."""
    settled: bool = False
    """Whether the client has had time to request every type that it uses. Until then, nothing that it declared from
    an earlier stream is removed."""
    shared: bool = True
    """Whether other controllers serve the same store, so that one of them may be ahead of this one."""
    error_length: int = 1024
    """Characters kept of a NACK's message. All of it says which resources it is about."""

    def is_ahead_of(self, snapshot: Snapshot) -> bool:
        """Whether the client has what another controller has published and this one has not read yet.

        Older resources wait until this controller has caught up. A controller that has the store to itself is never
        behind: if a client has seen more, a copy of the store was restored, and the copy is what counts now.
        """
        return self.shared and self.seen_revision > snapshot.revision
