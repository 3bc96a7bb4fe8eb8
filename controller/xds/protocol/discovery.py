"""The messages of xDS as values: discovery requests and responses, and the other events of a stream.

The fields have the names that they have in `envoy.service.discovery.v3`. `wire` reads and writes the bytes.

A stream's state knows no nonces, so that streams which are equal but for them share it (`nonces`): a request answers
the newest response of its type, with the nonce `NEWEST`, or it does not.
"""

from typing import NamedTuple

from controller.xds.resources.resource import Resource
from controller.xds.resources.snapshot import Snapshot

NEWEST = "newest"
"""Stands in a request for the nonce of the newest response of its type."""


class DiscoveryRequest(NamedTuple):
    """A DiscoveryRequest (state of the world)."""

    type_url: str
    resource_names: tuple[str, ...] = ()
    version_info: str = ""
    response_nonce: str = ""
    error_detail: str | None = None
    """The message of a NACK, which may be empty; None if the request is no NACK."""


class DeltaDiscoveryRequest(NamedTuple):
    """A DeltaDiscoveryRequest."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_resource_versions: tuple[tuple[str, str], ...] = ()
    """Name and version of what the client has from an earlier stream."""
    response_nonce: str = ""
    error_detail: str | None = None
    """The message of a NACK, which may be empty; None if the request is no NACK."""


class Retry(NamedTuple):
    """It is time to send these contents once more although the client NACKed them."""

    contents: frozenset[str]
    """Content hashes."""
    removals: bool = False
    """Whether to send also what the client NACKed although it carried nothing new: a removal."""


class SettleTimeout(NamedTuple):
    """The client has had time to subscribe to every type that it uses (`Limits.settle`)."""


Event = DiscoveryRequest | DeltaDiscoveryRequest | Snapshot | Retry | SettleTimeout


class DiscoveryResponse(NamedTuple):
    """A DiscoveryResponse or a DeltaDiscoveryResponse. `removed_resources` is only for Delta."""

    type_url: str
    version_info: str
    resources: tuple[Resource, ...]
    removed_resources: tuple[str, ...] = ()
