"""The one thread in which everything happens to the store's file: what is urgent first, and nobody waits for ever.

A disk can hang. Who asks meanwhile is told so within `patience` seconds, and the truth: what had not begun is
withdrawn and surely never happens; what had begun may yet come true, and nobody can stop it.
"""

import asyncio
import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import structlog

from controller.core.model.store_errors import NotWritten, StoreLost

T = TypeVar("T")

log = structlog.get_logger()


class StoreThread:
    """Does one job after the other. A job in hand is not interrupted: the longest is what others wait for."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._numbers = itertools.count()
        self._jobs: queue.PriorityQueue[tuple[bool, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._began: float | None = None
        # A daemon, so that a disk that hangs for good does not keep the process from ending.
        threading.Thread(target=self._work, name="haldane-store", daemon=True).start()

    async def do(self, work: Callable[[], T], *, urgent: bool = False) -> T:
        """What the work returns or raises. `NotWritten` if it was never begun, `StoreLost` if it is still under way.

        What is urgent goes before all that waits and is not. Once begun it is done, even if the caller is gone.
        """
        if self._hangs():
            raise NotWritten(f"the disk has not answered for {self._patience:g} s: not even tried")
        promised: Future[T] = Future()
        self._put(lambda: self._keep(promised, work), urgent)
        answer = asyncio.wrap_future(promised)
        try:
            await asyncio.wait({answer}, timeout=self._patience)
        except asyncio.CancelledError:
            if not promised.cancel():
                answer.add_done_callback(_answered_late)
            raise
        if promised.cancel():
            raise NotWritten(f"the disk has not answered for {self._patience:g} s: withdrawn")
        if not promised.done():
            answer.add_done_callback(_answered_late)
            raise StoreLost(f"the disk has not answered for {self._patience:g} s: perhaps done later")
        return await answer

    def end(self) -> None:
        """The thread ends once everything is done that waits."""
        self._put(None)

    def _put(self, job: Callable[[], None] | None, urgent: bool = False) -> None:
        self._jobs.put((not urgent, next(self._numbers), job))

    def _hangs(self) -> bool:
        began = self._began
        return began is not None and time.monotonic() - began > self._patience

    def _work(self) -> None:
        while job := self._jobs.get()[2]:
            self._began = time.monotonic()
            job()
            self._began = None

    def _keep(self, promised: "Future[T]", work: Callable[[], T]) -> None:
        """Do what was promised, unless it was withdrawn."""
        if not promised.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as error:
            promised.set_exception(error)
        else:
            promised.set_result(result)


def _answered_late(answer: "asyncio.Future[Any]") -> None:
    """Nobody waits any more: say how it ended."""
    error = None if answer.cancelled() else answer.exception()
    log.warning("store_answered_late", outcome="done" if error is None else str(error))
