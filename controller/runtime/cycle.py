"""When each service is ticked: on every report, all of them concurrently; and in between, what can wait.

What one tick does is in `ticker`. A decision takes effect when the store commits it; this replica sees it in the next
view, like every other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from controller.core.model.freeze import Freeze, expiry_times
from controller.core.model.store_errors import StoreError, StoreLost
from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.meters import TickMeter
from controller.process.periodic import wait_and_clear
from controller.runtime.ledger_writer import LedgerWriter
from controller.runtime.ticker import Ticker

IDLE = 0.5
"""Seconds between two cycles when nothing is reported: what depends on time alone is noticed this late at most."""

_BACKGROUND = "(background)"
"""The task besides the services' ticks; no service can have this name."""

Step = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class Cycle:
    """Runs one cycle after the other over every service of the newest view; `on_cycle` is called after each."""

    def __init__(
        self,
        ticker: Ticker,
        ledger: LedgerWriter,
        clock: Clock,
        meter: TickMeter,
        view: Callable[[], View],
        on_cycle: Callable[[], None],
    ) -> None:
        self._ticker = ticker
        self._ledger = ledger
        self._clock = clock
        self._meter = meter
        self._view = view
        self._on_cycle = on_cycle
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[Freeze, float] = {}
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Begin the next cycle at once."""
        self._awake.set()

    async def run(self) -> None:
        """A cycle whenever woken, and every `IDLE` seconds, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await wait_and_clear(self._awake, IDLE)
                await self._run_once(tasks)
                self._on_cycle()

    async def _run_once(self, tasks: asyncio.TaskGroup) -> None:
        """Tick every service, then write what only needs to be written down: it waits for what may have to move.

        A tick whose commit takes long goes on during the next cycles: no service waits for another one's.
        """
        services = self._view().services.values()
        await self._side_by_side(tasks, {state.name: partial(self._ticker.tick, state) for state in services})
        await self._side_by_side(tasks, {_BACKGROUND: self._write_lines})

    async def _side_by_side(self, tasks: asyncio.TaskGroup, steps: Mapping[str, Step]) -> None:
        """Begin the steps that are not running yet, and wait for them, but no longer than `IDLE`."""
        for name in steps.keys() - self._running.keys():
            self._running[name] = tasks.create_task(self._attempt(steps[name]))
        running = [self._running[name] for name in steps]
        if running:
            await asyncio.wait(running, timeout=IDLE)
        self._running = {name: task for name, task in self._running.items() if not task.done()}

    async def _write_lines(self) -> None:
        await self._attempt(self._expire_freezes)
        await self._ledger.write()
        if self._ledger.waits:
            self.wake()

    async def _attempt(self, step: Step) -> None:
        """Run a step and log its error: an error in one rollout must not end the watch over the others."""
        try:
            await step()
        except StoreError as error:
            self._meter.set_store_up(not isinstance(error, StoreLost))
            log.warning("not_committed", error=type(error).__name__, reason=str(error))
        except Exception:
            log.exception("tick_failed")

    async def _expire_freezes(self) -> None:
        """End the freezes whose time is over.

        Each one's end is fixed on the monotonic clock when it is first seen in this term, so a wall clock that jumps
        later ends none early; across terms and restarts the wall clock is all there is.
        """
        now = self._clock.monotonic()
        self._ends = expiry_times(self._view().freezes, self._ends, now, self._clock.wall())
        for freeze, end in self._ends.items():
            if now >= end:
                await self._ledger.expire(freeze, self._view().freezes)
