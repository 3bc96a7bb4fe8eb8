"""The one thread that works on the store's file: urgent jobs first, and no caller waits forever.

A disk can hang. A caller then gets an error within `patience` seconds that says what is known: a job that had not
begun is withdrawn and surely never happens; one that had begun may still complete, and cannot be stopped.
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
    """Runs one job after the other. A running job is not interrupted, so others wait for the longest one at most."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._numbers = itertools.count()
        self._jobs: queue.PriorityQueue[tuple[bool, int, Callable[[], None] | None]] = queue.PriorityQueue()
        self._began: float | None = None
        # A daemon, so that a disk that hangs for good does not keep the process from ending.
        threading.Thread(target=self._work, name="haldane-store", daemon=True).start()

    async def do(self, work: Callable[[], T], *, urgent: bool = False) -> T:
        """What the work returns or raises. `NotWritten` if it was never begun, `StoreLost` if it still runs.

        Urgent work goes before everything that waits and is not urgent. Work that has begun is completed, even if the
        caller is cancelled.
        """
        if self._hangs():
            raise NotWritten(f"the disk has not answered for {self._patience:g} s: not even tried")
        future: Future[T] = Future()
        self._put(lambda: self._fulfil(future, work), urgent)
        answer = asyncio.wrap_future(future)
        try:
            await asyncio.wait({answer}, timeout=self._patience)
        except asyncio.CancelledError:
            if not future.cancel():
                answer.add_done_callback(_log_outcome)
            raise
        if future.cancel():
            raise NotWritten(f"the disk has not answered for {self._patience:g} s: withdrawn")
        if not future.done():
            answer.add_done_callback(_log_outcome)
            raise StoreLost(f"the disk has not answered for {self._patience:g} s: perhaps done later")
        return await answer

    def end(self) -> None:
        """End the thread once all waiting jobs are done."""
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

    def _fulfil(self, future: "Future[T]", work: Callable[[], T]) -> None:
        """Do the work, unless it was withdrawn."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)


def _log_outcome(answer: "asyncio.Future[Any]") -> None:
    """The caller has its error already: log how the work ended."""
    error = None if answer.cancelled() else answer.exception()
    log.warning("store_responded_late", outcome="done" if error is None else str(error))
