"""Spreads the reading of reports over the turns of the event loop, so that new proxies, commands and ticks get theirs.

gRPC hands over one new call in each turn of the event loop. With a thousand proxies that report faster than their
reports can be read, a turn that read one message of each would take half a second, and a thousand proxies that join
would wait for minutes.
"""

import asyncio
import time
from collections import deque

from controller.process.right_of_way import RightOfWay

BATCH = 5
"""Messages that are read in one turn of the event loop: one to four milliseconds, with ten services on each proxy."""


class ReportTurns:
    """Who has read a message awaits `turn` before handling it. Messages are handled in the order in which they came,
    some `BATCH` in each turn of the event loop, and none while the right of way is claimed.
    """

    def __init__(self, right_of_way: RightOfWay | None = None) -> None:
        self._right_of_way = right_of_way or RightOfWay()
        self._left = BATCH
        """How many may still go on in this turn of the event loop; none while others wait."""
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        """Since when (monotonic seconds), in order."""
        self._task: asyncio.Task[None] | None = None

    @property
    def longest_wait(self) -> float:
        """Seconds for which the first of those that wait has waited; 0 if none waits."""
        return time.monotonic() - self._waiting[0][0] if self._waiting else 0.0

    async def turn(self) -> None:
        """Wait until this message may be handled."""
        await self._right_of_way.turn()
        loop = asyncio.get_running_loop()
        if self._left:
            if self._left == BATCH:
                loop.call_soon(self._next_turn)
            self._left -= 1
            return
        waiting = loop.create_future()
        self._waiting.append((time.monotonic(), waiting))
        await waiting

    def _next_turn(self) -> None:
        if self._waiting:
            self._task = asyncio.create_task(self._go_on())
        else:
            self._left = BATCH

    async def _go_on(self) -> None:
        """Let those that wait go on, until none waits."""
        while self._waiting:
            await self._right_of_way.turn()
            for _ in range(min(BATCH, len(self._waiting))):
                _, waiting = self._waiting.popleft()
                if not waiting.done():  # cancelled: its stream has ended
                    waiting.set_result(None)
            await asyncio.sleep(0)
        self._left = BATCH
