"""Keeps the workers running: starts each, starts it again when it has ended, and ends them all with the block."""

import asyncio
import contextlib
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from controller.workers.restarts import Restarts, describe_exit

log = structlog.get_logger()


class Supervisor:
    """The processes of the workers, by number.

    Each gets its order on standard input, which stays open for as long as this process lives: its end tells a worker to
    drain, also when this process was killed.
    """

    def __init__(self, command: Sequence[str], orders: Mapping[int, bytes], drain: float) -> None:
        """`drain` is the seconds in which a worker that is told to drain must have ended; then it is killed."""
        self._command = command
        self._orders = orders
        self._drain = drain
        self._restarts = {number: Restarts() for number in orders}
        self._processes: dict[int, Process] = {}
        self._ended: dict[int, str] = {}
        self._draining = asyncio.Event()

    @property
    def ends(self) -> Mapping[int, int]:
        """How often each worker has ended though it should run."""
        return {number: restarts.number for number, restarts in self._restarts.items()}

    def why_away(self, number: int) -> str:
        """What is known of a worker that does not serve."""
        state = "it is starting" if number in self._processes else "it waits to be started"
        how = self._ended.get(number)
        return f"{state}; it ended with {how}" if how else state

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run them until the end of the block, and end them."""
        tasks = [asyncio.create_task(self._keep(number, order)) for number, order in self._orders.items()]
        try:
            yield
        finally:
            self.drain()
            _, late = await asyncio.wait(tasks, timeout=self._drain)
            for number, process in self._processes.items() if late else ():
                log.warning("worker_killed", worker=number, pid=process.pid)
                process.kill()
            await asyncio.gather(*tasks)

    def drain(self) -> None:
        """Tell every worker to drain, and start none any more."""
        self._draining.set()
        for process in self._processes.values():
            if process.stdin:
                process.stdin.close()

    async def _keep(self, number: int, order: bytes) -> None:
        loop = asyncio.get_running_loop()
        while not self._draining.is_set():
            begun = loop.time()
            how = await self._run(number, order)
            if self._draining.is_set():
                return
            pause = self._restarts[number].pause_after(loop.time() - begun)
            self._ended[number] = how
            log.error("worker_ended", worker=number, how=how, again_in=pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._draining.wait()

    async def _run(self, number: int, order: bytes) -> str:
        """How one run of that worker ended."""
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=PIPE)
        except OSError as error:
            return f"{error.strerror or error} when it was to be started"
        self._processes[number] = process
        log.info("worker_started", worker=number, pid=process.pid)
        assert process.stdin is not None  # a pipe was asked for
        try:
            process.stdin.write(order)
            if self._draining.is_set():  # it was started meanwhile
                process.stdin.close()
            return describe_exit(await process.wait())
        finally:
            del self._processes[number]
