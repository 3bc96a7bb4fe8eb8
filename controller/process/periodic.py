"""Work that is repeated: at intervals, or as soon as an event is set."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


async def every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do the work, then pause so long, until cancelled. What the work raises ends it."""
    while True:
        await work()
        await asyncio.sleep(seconds)


async def wait_and_clear(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most so long, and clear it: whether it was set."""
    # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    was_set = event.is_set()
    event.clear()
    return was_set
