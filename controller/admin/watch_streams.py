"""Streams of changes: bounded in number and rate, ended when the controller drains."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from controller.core.base.errors import Code, Refusal
from controller.ports.observatory import Observatory

MAX_WATCHES = 256
"""Open at once. Each costs a message at every tick; people and scripts need a handful."""
MAX_WATCHES_PER_CLIENT = 32
"""Open at once for one client: eight clients have to take all that they may before another has none."""
PACE = 0.1
"""Seconds between two messages of one watch: ten a second is more than a person reads."""


class Watches:
    """The open watches of one API."""

    def __init__(self, observatory: Observatory) -> None:
        self._observatory = observatory
        self._open_of: Counter[str] = Counter()
        """Client -> its open watches."""
        self._draining = asyncio.Event()

    @property
    def open(self) -> int:
        """How many are open."""
        return self._open_of.total()

    def drain(self) -> None:
        """End every watch; its client is asked to reconnect."""
        self._draining.set()

    @contextlib.contextmanager
    def one(self, client: str) -> Iterator[None]:
        """One watch of that client, open as long as the block runs; `Refusal` beyond a limit."""
        if self._open_of[client] >= MAX_WATCHES_PER_CLIENT:
            text = f"{client} has {MAX_WATCHES_PER_CLIENT} watches open, the most that one client may: close some"
            raise Refusal(Code.TOO_MANY, text)
        if self.open >= MAX_WATCHES:
            text = (
                f"{MAX_WATCHES} watches of all clients are open, which is the limit: try again when others have closed"
            )
            raise Refusal(Code.TOO_MANY, text)
        self._open_of[client] += 1
        try:
            yield
        finally:
            self._open_of[client] -= 1
            if not self._open_of[client]:
                del self._open_of[client]

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
