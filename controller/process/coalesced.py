"""Work that many wait for and that is done once for all of them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


class Coalesced:
    """Does the work, one run at a time. Whoever joins waits for the first run that begins after that, so that it knows
    what the caller wants; all who join meanwhile share that run."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        """`work` raises nothing."""
        self._work = work
        self._next: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def join(self, within: float) -> None:
        """Wait for the next run, but no longer than so many seconds. The run goes on if the caller is cancelled."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
            self._running.add(self._next)
            self._next.add_done_callback(self._running.discard)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await asyncio.shield(self._next)

    async def _run(self) -> None:
        async with self._turn:
            self._next = None
            await self._work()
