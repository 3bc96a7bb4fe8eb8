"""Time."""

from typing import Protocol


class Clock(Protocol):
    """Time. Durations are measured by `monotonic`; `wall` is for people and for what survives a restart."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def wall(self) -> float:
        """Unix seconds."""
        ...
