"""One writer at a time, the urgent ones first."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Turns:
    """Whoever wants to write waits for a turn: what stops traffic or moves it from harm before all the others."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: dict[bool, deque[asyncio.Future[None]]] = {True: deque(), False: deque()}

    @contextlib.asynccontextmanager
    async def turn(self, *, urgent: bool) -> AsyncIterator[None]:
        """A turn, for as long as the block runs."""
        if self._taken:
            mine = asyncio.get_running_loop().create_future()
            self._waiting[urgent].append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._next()  # the turn had come already
                else:
                    self._waiting[urgent].remove(mine)
                raise
        self._taken = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        """Give the turn to whoever waits; it stays taken meanwhile, so that nobody comes in between."""
        for queue in (self._waiting[True], self._waiting[False]):
            while queue:
                waiting = queue.popleft()
                if not waiting.done():
                    waiting.set_result(None)
                    return
        self._taken = False
