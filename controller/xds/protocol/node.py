"""Who is at the other end of a stream."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A client's identity. `fleet` is Envoy's node.cluster; `client` is its name and version.

    `has_stats_logger`: it says that it has the access logger which counts how responses end.
    """

    id: str
    fleet: str
    client: str
    has_stats_logger: bool = False
