"""Wakes every stream for a new snapshot, some at a time, so that other work has its turn in between.

With thousands of streams, waking them all at once holds up everything for a second or more: the
answer to the operator whose command it was, ACKs, reports, ticks.
"""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

BATCH = 100
"""Streams that are woken between two turns of the event loop: about three milliseconds of steps and
writes. Fewer would let what else there is to do, such as joins, delay the last ones: it has each turn
in between."""


class Wakeable(Protocol):
    """A stream that steps to the newest snapshot when it is woken."""

    def wake(self) -> None:
        """Step and write, soon. Raises nothing."""
        ...


class FanOut:
    """The streams that are still to be woken. A newer snapshot begins again with all of them."""

    def __init__(self) -> None:
        self._waiting: dict[Wakeable, None] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, streams: Iterable[Wakeable]) -> None:
        """Wake these streams, in this order."""
        self._waiting = dict.fromkeys(streams)
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    def forget(self, stream: Wakeable) -> None:
        """The stream has ended."""
        self._waiting.pop(stream, None)

    async def _run(self) -> None:
        while self._waiting:
            for stream in tuple(islice(self._waiting, BATCH)):
                del self._waiting[stream]
                stream.wake()
            await asyncio.sleep(0)
