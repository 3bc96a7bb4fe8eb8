"""Streams of changes: bounded in number and rate, ended when the controller drains."""

import asyncio
import contextlib
from collections.abc import Iterator

from controller.core.base.errors import Code, Refusal
from controller.ports.observatory import Observatory

MAX_WATCHES = 256
"""Open at once. Each costs a message at every tick; people and scripts need a handful."""
PACE = 0.1
"""Seconds between two messages of one watch: ten a second is more than a person reads."""


class Watches:
    """The open watches of one API; `open` is how many."""

    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self.open = 0
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """End every watch; its client is asked to reconnect."""
        self._draining.set()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """One watch, open as long as the block runs; `Refusal` beyond the limit."""
        if self.open >= MAX_WATCHES:
            raise Refusal(Code.TOO_MANY, f"{MAX_WATCHES} watches are open, which is the limit: close some")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def next(self, seen: int) -> int:
        """Wait until there is a change later than `seen`, and at least the pace; `Refusal` when draining."""
        if not self._draining.is_set():
            change = asyncio.ensure_future(self._paced(seen))
            drained = asyncio.ensure_future(self._draining.wait())
            try:
                await asyncio.wait((change, drained), return_when=asyncio.FIRST_COMPLETED)
            finally:
                drained.cancel()
                change.cancel()
            if change.done() and not change.cancelled():
                return change.result()
        raise Refusal(Code.DRAINING, "the controller is stopping: watch again in a moment")

    async def _paced(self, seen: int) -> int:
        await asyncio.sleep(PACE if seen else 0)
        return await self._observatory.next(seen)
