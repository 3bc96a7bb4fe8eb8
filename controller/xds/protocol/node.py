"""Who is at the other end of a stream."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A client's identity. `fleet` is Envoy's node.cluster; `client` is its name and version."""

    id: str
    fleet: str
    client: str
