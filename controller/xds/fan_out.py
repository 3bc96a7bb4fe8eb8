"""Wakes every stream for a new snapshot, some at a time, so that other work has its turn in between.

With thousands of streams, waking them all at once holds up everything for a second or more: the
answer to the operator whose command it was, ACKs, reports, ticks.
"""

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from controller.process.gc_tuning import put_off_gc, resume_gc
from controller.process.right_of_way import RightOfWay

BATCH = 100
"""Streams that are woken between two turns of the event loop: about three milliseconds of steps and
writes. Fewer would let what else there is to do, such as joins, delay the last ones: it has each turn
in between."""

SETTLING = 2.0
"""Seconds in which the streams' ACKs have come after the last was woken, so that nothing of the push is left."""


class Wakeable(Protocol):
    """A stream that steps to the newest snapshot when it is woken."""

    def wake(self) -> None:
        """Step and write, soon. Raises nothing."""
        ...


class FanOut:
    """The streams that are still to be woken. A newer snapshot wakes all, first those that still wait for an older one:
    so none waits longer than for all the others, however fast snapshots follow each other.
    """

    def __init__(self, right_of_way: RightOfWay) -> None:
        self._right_of_way = right_of_way
        self._has_right_of_way = False
        """Whether it was claimed for what is being pushed, and not for what is yet to come."""
        self._waiting: dict[Wakeable, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._resume_gc: asyncio.TimerHandle | None = None

    def start(self, streams: Iterable[Wakeable], *, urgent: bool = False) -> None:
        """Wake these streams, in this order; if `urgent`, other work waits until they are woken."""
        self._waiting.update(dict.fromkeys(streams))
        if not self._waiting:
            self._right_of_way.give_up()
            return
        if urgent:
            self._right_of_way.claim()
        self._has_right_of_way = self._right_of_way.claimed
        put_off_gc()
        if self._resume_gc:
            self._resume_gc.cancel()
        if self._task is None or self._task.done():
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
        if self._has_right_of_way:
            self._right_of_way.give_up()
        self._resume_gc = asyncio.get_running_loop().call_later(SETTLING, resume_gc)
