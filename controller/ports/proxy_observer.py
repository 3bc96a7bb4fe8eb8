"""Who is told what proxies did."""

from dataclasses import dataclass
from typing import Protocol


class Observer(Protocol):
    """Who is told what proxies did."""

    def acknowledged(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy acknowledged what was published (or what it asked for) so many seconds ago."""
        ...

    def rejected(self, node: str, fleet: str, type_url: str, error: str, *, news: bool) -> None:
        """A proxy refused a configuration; `news` unless it refused the very same before, on this stream or another."""
        ...

    def connected(self, node: str, fleet: str) -> None:
        """A proxy opened a stream."""
        ...

    def disconnected(self, node: str, fleet: str) -> None:
        """A proxy's stream ended."""
        ...


@dataclass(frozen=True, slots=True)
class Silent:
    """The observer that nobody listens to."""

    def acknowledged(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """Nobody listens."""

    def rejected(self, node: str, fleet: str, type_url: str, error: str, *, news: bool) -> None:
        """Nobody listens."""

    def connected(self, node: str, fleet: str) -> None:
        """Nobody listens."""

    def disconnected(self, node: str, fleet: str) -> None:
        """Nobody listens."""
