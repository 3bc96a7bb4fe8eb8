"""When each service is ticked: when something happened to it; and in between, what can wait.

What one tick does is in `ticker`. A decision takes effect when the store commits it; this replica
sees it in the next view, like every other.

| what happens | what is ticked |
|---|---|
| every awaited proxy has reported on a service, and the judge may bet on errors now | it, at once |
| every awaited proxy has reported on a service, between two bets | nothing: the next tick judges it too |
| a hook or Prometheus has answered for a service | it, at once |
| its state in the view is new | it, at once |
| a freeze is set or lifted, a proxy excluded or included | what time alone can change, at once |
| a proxy ACKs, NACKs, comes or goes | what waits for proxies, soon: many ACKs lead to one tick |
| nothing | what time alone can change, `IDLE` after its last tick, or `IDLE_OF_MANY` |

So a service without a rollout and without reports costs nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from controller.core.model.freeze import Freeze
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import StoreError, StoreLost
from controller.core.model.view import View
from controller.ports.meters import TickMeter
from controller.process.periodic import wait_and_clear
from controller.runtime.ledger_writer import LedgerWriter
from controller.runtime.ticker import Ticker

IDLE = 0.5
"""Seconds between two ticks of a running rollout when nothing is reported: what depends on time
alone is noticed this late at most."""

MANY, IDLE_OF_MANY = 400, 1.5
"""With more running rollouts than this it is so many seconds. That is longer than from one bet on errors to the next:
while reports come, each tick is one for a bet, and none is for the clock alone."""

PAUSE = 0.005
"""Seconds between two cycles at least, so that many reports do not lead to as many cycles."""

ACKS = 0.05
"""Seconds over which ACKs lead to one tick of what waits for them."""

ACKS_EACH = 0.001
"""The same for each service that waits, where that is longer: ticks for ACKs then cost a tenth of the
time at most."""

BATCH = 20
"""Services ticked one after the other before other work has its turn: a few milliseconds."""

log = structlog.get_logger()


class Cycle:
    """Runs one cycle after the other over the services that something happened to.

    `view` gives the newest view, and `expired` its freezes whose time is over; `on_cycle` is called after each cycle.
    """

    def __init__(
        self,
        ticker: Ticker,
        ledger: LedgerWriter,
        view: Callable[[], View],
        expired: Callable[[], Iterable[Freeze]],
        on_cycle: Callable[[], None],
        meter: TickMeter,
    ) -> None:
        self._ticker = ticker
        self._ledger = ledger
        self._view = view
        self._expired = expired
        self._on_cycle = on_cycle
        self._meter = meter
        self._seen = view()
        self._due = set(self._seen.services)
        """The services to tick in the next cycle: at first, all."""
        self._ticked_at: dict[str, float] = {}
        """Of the services that time alone can change: the loop's time of their last tick, oldest first."""
        self._committing: dict[str, asyncio.Task[None]] = {}
        """The ticks that wait for the store."""
        self._writing: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._awake.set()
        self._ack_timer: asyncio.TimerHandle | None = None
        self._acks_from = 0.0
        """The loop's time from which on an ACK leads to a tick at once."""

    def wake(self, services: Iterable[str] = ()) -> None:
        """Tick these services at once."""
        self._due.update(services)
        self._awake.set()

    def wake_waiting(self) -> None:
        """Proxies have ACKed, come or gone: tick soon what waits for proxies."""
        if self._ack_timer is None and self._ticker.waiting:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_at(max(loop.time(), self._acks_from), self._tick_waiting)

    def on_view(self, view: View) -> None:
        """A new view is being served: tick what it changes."""
        before, self._seen = self._seen, view
        for gone in self._ticked_at.keys() - view.services.keys():
            del self._ticked_at[gone]
        changed = {name for name, state in view.services.items() if before.services.get(name) is not state}
        same = view.freezes == before.freezes and view.exclusions == before.exclusions
        self.wake(changed if same else changed | self._ticked_at.keys())

    async def run(self) -> None:
        """A cycle whenever woken, and whenever time alone may have changed something, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await wait_and_clear(self._awake, self._time_to_next())
                    await self._run_once(tasks)
                    self._meter.count_cycle()
                    self._on_cycle()
                    await asyncio.sleep(PAUSE)
        finally:
            if self._ack_timer:
                self._ack_timer.cancel()

    def _time_to_next(self) -> float:
        """Seconds until the next cycle, if nothing wakes it before."""
        oldest = next(iter(self._ticked_at.values()), None)
        return IDLE if oldest is None else max(0.0, oldest + self._idle - asyncio.get_running_loop().time())

    @property
    def _idle(self) -> float:
        """Seconds after its last tick when a running rollout is ticked although nothing has happened to it."""
        return IDLE if len(self._ticked_at) <= MANY else IDLE_OF_MANY

    async def _run_once(self, tasks: asyncio.TaskGroup) -> None:
        """Tick what is due, then write what only needs to be written down: it waits for what may have to move.

        A tick whose commit takes long goes on during the next cycles: no service waits for another one's.
        """
        await self._tick_due(tasks)
        await self._wait_until_woken(self._committing.values())
        if (self._writing is None or self._writing.done()) and (self._ledger.waits or self._view().freezes):
            self._writing = tasks.create_task(self._attempt(self._write_lines()))
            await self._wait_until_woken([self._writing])

    async def _tick_due(self, tasks: asyncio.TaskGroup) -> None:
        now, idle = asyncio.get_running_loop().time(), self._idle
        for name, at in self._ticked_at.items():
            if at + idle > now:
                break
            self._due.add(name)
        due, self._due = self._due, set()
        for number, name in enumerate(due, 1):
            if name in self._committing:
                self._due.add(name)  # `_on_committed` wakes the cycle
                self._stamp(name, now, restless=name in self._ticked_at)
            elif state := self._view().services.get(name):
                self._stamp(name, now, restless=self._tick(tasks, state))
            if number % BATCH == 0:
                await asyncio.sleep(0)

    def _tick(self, tasks: asyncio.TaskGroup, state: ServiceState) -> bool:
        """Tick one service; what of it waits for the store goes on as a task. Whether time alone can change it."""
        try:
            rest = self._ticker.tick(state)
        except Exception:
            self._meter.count_tick_error()
            log.exception("tick_failed")
            return True
        if rest:
            task = self._committing[state.name] = tasks.create_task(self._attempt(rest))
            task.add_done_callback(lambda _: self._on_committed(state.name))
        return bool(rest) or self._ticker.is_restless(state)

    def _stamp(self, name: str, now: float, *, restless: bool) -> None:
        """A service was ticked: again after a while at the latest if it is restless."""
        self._ticked_at.pop(name, None)
        if restless:
            self._ticked_at[name] = now

    def _on_committed(self, name: str) -> None:
        del self._committing[name]
        if name in self._due:
            self._awake.set()

    def _tick_waiting(self) -> None:
        self._ack_timer = None
        waiting = self._ticker.waiting
        self._acks_from = asyncio.get_running_loop().time() + max(ACKS, ACKS_EACH * len(waiting))
        self.wake(waiting)

    async def _wait_until_woken(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Wait for these tasks, but no longer than `IDLE`, and not once something else has happened."""
        if running := [*tasks]:
            waking, ending = (asyncio.ensure_future(each) for each in (self._awake.wait(), asyncio.wait(running)))
            try:
                await asyncio.wait((waking, ending), timeout=IDLE, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waking.cancel()
                ending.cancel()

    async def _write_lines(self) -> None:
        await self._attempt(self._expire_freezes())
        await self._ledger.write()
        if self._ledger.waits:
            self.wake()

    async def _attempt(self, step: Awaitable[object]) -> None:
        """Run a step and log its error: an error in one rollout must not end the watch over the others.

        A store that is lost logs that itself, once.
        """
        try:
            await step
        except StoreLost:
            pass
        except StoreError as error:
            log.warning("not_committed", error=type(error).__name__, reason=str(error))
        except Exception:
            self._meter.count_tick_error()
            log.exception("tick_failed")

    async def _expire_freezes(self) -> None:
        """End the freezes whose time is over."""
        for freeze in list(self._expired()):
            await self._ledger.expire(freeze, self._view().freezes)
