"""When to look at what: on every report, at every service, side by side; and between the looks, what can wait.

What a look comes to is the `Lookout`'s. What is decided becomes true in the store and comes back to the loop, as to
everybody, by the store's watch; it keeps no state of its own that a restart would miss.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from controller.core.model.freeze import Freeze, ends_of
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import StoreError, StoreLost
from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.meters import TickMeter
from controller.ports.observatory import Live
from controller.ports.store import Store
from controller.runtime.ledger_writer import Diary
from controller.runtime.session_saver import Keeper
from controller.runtime.ticker import Lookout

IDLE = 0.5
"""Seconds between two looks when nothing is reported: what depends on time alone is noticed this late at most."""

_CHORES = "(chores)"
"""Under way beside the services' looks; no service can have this name."""

Step = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class Loop:
    """Watches every rollout and acts. Also the `Observatory` that the doors look through."""

    def __init__(
        self,
        lookout: Lookout,
        *,
        store: Store,
        keeper: Keeper,
        diary: Diary,
        clock: Clock,
        meter: TickMeter,
        view: View,
    ) -> None:
        self._lookout = lookout
        self._store = store
        self._keeper = keeper
        self._diary = diary
        self._clock = clock
        self._meter = meter
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[Freeze, float] = {}
        self._news = asyncio.Event()
        self._turn = 0
        self._turned = asyncio.Condition()
        self._see(view)

    # What the doors look through.

    def view(self) -> View:
        """The newest view."""
        return self._view

    def live(self, service: str) -> Live:
        """The newest look at a service."""
        return self._lookout.live(service)

    def no_healthy_upstream(self, service: str, version: str) -> bool:
        """Whether this version is known to have no healthy endpoint."""
        return self._lookout.no_healthy_upstream(service, version)

    @property
    def turns(self) -> int:
        """How often everything has been looked at."""
        return self._turn

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen`; the number to wait with next time."""
        async with self._turned:
            await self._turned.wait_for(lambda: self._turn > seen)
            return self._turn

    # What happens to it.

    def notice(self) -> None:
        """Something was reported or acknowledged: look at once."""
        self._news.set()

    def note(self, entry: Entry) -> None:
        """Write a line into the ledger soon; for what happens without moving anything."""
        self._diary.note(entry)
        self._news.set()

    async def follow(self, publish: Callable[[View], None]) -> None:
        """Serve what the store says, for ever: publish each new view, then let the looks go on from it.

        What could not be published is tried again, and nothing more is decided until it is served.
        """
        while True:
            try:
                async for view in self._store.watch(self._view.revision):
                    publish(view)
                    self._see(view)
                    self._meter.store_answers(True)
                    self._news.set()
            except StoreLost as lost:
                self._meter.store_answers(False)
                log.warning("store_lost", reason=str(lost))
            except Exception:
                # A fault of ours in publishing must not end the controller: proxies keep what they have, freezes hold.
                log.exception("publish_failed")
            await asyncio.sleep(IDLE)

    def _see(self, view: View) -> None:
        self._view = view
        self._lookout.follow(view)

    async def run(self) -> None:
        """Look at everything whenever there is news, for ever; and keep what is known of it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keeper.run())
            while True:
                # Not asyncio.wait_for: before Python 3.12 it can swallow a cancellation.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE):
                        await self._news.wait()
                self._news.clear()
                await self._turn_once(tasks)
                async with self._turned:
                    self._turn += 1
                    self._turned.notify_all()

    async def save(self) -> None:
        """Keep every session, so that a restart goes on with its evidence."""
        self._lookout.keep()
        await self._keeper.save()

    # One turn.

    async def _turn_once(self, tasks: asyncio.TaskGroup) -> None:
        """Look at every service; what is only written down comes after what may have to move.

        A look whose write takes long goes on beside the next turns: no service waits for another one's.
        """
        await self._side_by_side(
            tasks, {s.name: partial(self._lookout.attend, s) for s in self._view.services.values()}
        )
        await self._side_by_side(tasks, {_CHORES: self._do_chores})

    async def _side_by_side(self, tasks: asyncio.TaskGroup, steps: Mapping[str, Step]) -> None:
        """Begin the steps that are not under way yet, and wait for them, but not for long."""
        for name in steps.keys() - self._under_way.keys():
            self._under_way[name] = tasks.create_task(self._try(steps[name]))
        under_way = [self._under_way[name] for name in steps]
        if under_way:
            await asyncio.wait(under_way, timeout=IDLE)
        self._under_way = {name: task for name, task in self._under_way.items() if not task.done()}

    async def _do_chores(self) -> None:
        await self._try(self._end_freezes)
        await self._diary.write()
        if self._diary.waits:
            self._news.set()

    async def _try(self, step: Step) -> None:
        """Do it. A fault in one rollout must not end the watch over the others."""
        try:
            await step()
        except StoreError as error:
            self._meter.store_answers(not isinstance(error, StoreLost))
            log.warning("not_committed", error=type(error).__name__, reason=str(error))
        except Exception:
            log.exception("look_failed")

    async def _end_freezes(self) -> None:
        """End the freezes whose time is over.

        Each one's end is fixed on the monotonic clock when it is first seen here, so a wall clock that jumps later
        ends none early; across a restart the wall clock is all there is.
        """
        now = self._clock.monotonic()
        self._ends = ends_of(self._view.freezes, self._ends, now, self._clock.wall())
        for freeze, end in self._ends.items():
            if now >= end:
                await self._diary.expire(freeze, self._view.freezes)
