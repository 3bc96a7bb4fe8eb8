"""Lets something urgent go first: a rollback on its way to thousands of proxies."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterator

LONGEST = 1.0
"""Seconds of the event loop's CPU for which other work waits at most: a push to some 10 000 proxies."""

LONGEST_WAIT = 5.0
"""Seconds for which other work waits at most, where the machine has little CPU for the event loop."""

TIMER_PRECISION = 0.001
"""Seconds by which a timer may fire early."""

BATCH = 100
"""How many of those that waited go on in one turn of the event loop: a few milliseconds of requests or reports."""


class RightOfWay:
    """Who reads requests or reports awaits `turn` before each is handled.

    That returns at once, but while the right of way is claimed only once it is given up, and after `LONGEST` or
    `LONGEST_WAIT` in any case. Meanwhile gRPC's flow control makes the clients wait. After a claim, for as long as it
    lasted, there is no other one: so other work has half of the time, however many rollbacks follow each other.
    """

    def __init__(self) -> None:
        self._claimed_at: float | None = None
        """The loop's time of the claim; None while there is none."""
        self._claimed_cpu = 0.0
        """The CPU that the loop's thread had used then."""
        self._free_until = 0.0
        """The loop's time before which a claim has no effect."""
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def claimed(self) -> bool:
        """Whether others wait."""
        return self._claimed_at is not None

    def claim(self) -> None:
        """Something urgent begins; it ends with `give_up`."""
        loop = asyncio.get_running_loop()
        if not self.claimed and loop.time() >= self._free_until:
            self._claimed_at, self._claimed_cpu = loop.time(), time.thread_time()
            self._timer = loop.call_later(min(LONGEST, LONGEST_WAIT), self._check, loop)

    def give_up(self) -> None:
        """Let the others go on. Without a claim nothing happens."""
        if self._claimed_at is None or self._timer is None:
            return
        now = asyncio.get_running_loop().time()
        self._free_until = now + (now - self._claimed_at)
        self._claimed_at = None
        self._timer.cancel()
        self._resume()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give it up if it was claimed for long enough, else check again as soon as that can be."""
        if self._claimed_at is None:
            return
        cpu = LONGEST - (time.thread_time() - self._claimed_cpu)
        wait = LONGEST_WAIT - (loop.time() - self._claimed_at)
        if cpu > 0 and wait > 0:
            self._timer = loop.call_later(min(cpu, wait) + TIMER_PRECISION, self._check, loop)
        else:
            self.give_up()

    @contextlib.contextmanager
    def handed_on(self) -> Iterator[None]:
        """Claim it for the block and for the push that follows, which gives it up; if the block raises, none does."""
        self.claim()
        try:
            yield
        except BaseException:
            self.give_up()
            raise

    async def turn(self) -> None:
        """Wait while the right of way is claimed."""
        if self.claimed:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def _resume(self) -> None:
        """Wake some of those that wait, in order, and the rest in the next turns, until the next claim."""
        if self.claimed:
            return
        for _ in range(min(BATCH, len(self._waiting))):
            waiting = self._waiting.popleft()
            if not waiting.done():  # cancelled: its stream has ended
                waiting.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._resume)
