"""Streams that follow what happens: bounded in number and rate, ended when the controller drains."""

import asyncio
import contextlib
from collections.abc import Iterator

from controller.core.base.errors import Code, Refusal
from controller.ports.observatory import Observatory

MAX_WATCHES = 256
"""Open at once. Each costs a message at every look; people and scripts need a handful."""
PACE = 0.1
"""Seconds between two messages of one watch: ten a second is more than a person reads."""


class Watches:
    """The open watches of one door; `open` is how many."""

    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self.open = 0
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """End every watch, with a word to reconnect."""
        self._draining.set()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """The place of one watch, as long as the block runs."""
        if self.open >= MAX_WATCHES:
            raise Refusal(Code.TOO_MANY, f"{MAX_WATCHES} watches are open, which is the limit: close some")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def news(self, seen: int) -> int:
        """Wait until there is news later than `seen`, but no less than the pace; `Refusal` when draining."""
        if not self._draining.is_set():
            news = asyncio.ensure_future(self._paced(seen))
            drained = asyncio.ensure_future(self._draining.wait())
            try:
                await asyncio.wait((news, drained), return_when=asyncio.FIRST_COMPLETED)
            finally:
                drained.cancel()
                news.cancel()
            if news.done() and not news.cancelled():
                return news.result()
        raise Refusal(Code.DRAINING, "the controller is stopping: watch again in a moment")

    async def _paced(self, seen: int) -> int:
        await asyncio.sleep(PACE if seen else 0)
        return await self._observatory.next(seen)
