"""Clocks for tests: the machine's, and one that a test moves."""

import time
from dataclasses import dataclass


class RealClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()

    def wall(self) -> float:
        """Unix seconds."""
        return time.time()


@dataclass
class SetClock:
    """Time as the test has it."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return self.now

    def wall(self) -> float:
        """Unix seconds."""
        return 1_700_000_000.0 + self.now
