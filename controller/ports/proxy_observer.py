"""The observer of the proxies: what the xDS server reports of their streams."""

from dataclasses import dataclass
from typing import Protocol


class ProxyObserver(Protocol):
    """Learns what proxies do. Implementations do not raise."""

    def on_ack(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy ACKed what was published, or what it requested, `seconds` ago."""
        ...

    def on_nack(self, node: str, fleet: str, type_url: str, error: str, *, is_new: bool) -> None:
        """A proxy NACKed a configuration; `is_new` unless it NACKed the same content before, on any stream."""
        ...

    def on_connect(self, node: str, fleet: str) -> None:
        """A proxy opened a stream."""
        ...

    def on_disconnect(self, node: str, fleet: str) -> None:
        """A proxy's stream ended."""
        ...


@dataclass(frozen=True, slots=True)
class NullObserver:
    """Ignores everything."""

    def on_ack(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """Ignored."""

    def on_nack(self, node: str, fleet: str, type_url: str, error: str, *, is_new: bool) -> None:
        """Ignored."""

    def on_connect(self, node: str, fleet: str) -> None:
        """Ignored."""

    def on_disconnect(self, node: str, fleet: str) -> None:
        """Ignored."""
