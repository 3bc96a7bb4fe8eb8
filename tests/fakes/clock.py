"""Clocks that a test controls."""

import asyncio
from dataclasses import dataclass


@dataclass
class FakeClock:
    """Stands still until a test moves it. The two clocks differ, so that no code may mix them up unnoticed."""

    now: float = 1000.0
    """The monotonic clock, in seconds."""
    skew: float = 1_699_999_000.0
    """Seconds by which the wall clock is ahead of the monotonic one."""

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.skew

    def advance(self, seconds: float) -> None:
        """Time passes on both clocks."""
        self.now += seconds

    def jump(self, seconds: float) -> None:
        """The wall clock alone is set, by so many seconds."""
        self.skew += seconds

    def reboot(self) -> None:
        """The machine restarts: its monotonic clock begins again, and its wall clock goes on."""
        uptime, self.now = self.now, 5.0
        self.skew += uptime - self.now


class LoopClock(FakeClock):
    """Moves with the event loop's time, so that with `looptime` hours pass at once; `jump` sets the wall clock."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self.monotonic() + self.skew
