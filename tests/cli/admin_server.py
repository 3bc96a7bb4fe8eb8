"""A controller's admin API in a thread of its own, for the commands to be run against."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import grpc

from controller.admin import OPTIONS
from controller.admin.grpc_api import add_admin
from controller.admin.guard import Guard
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_line import Entry
from controller.core.model.rollout import Event
from controller.core.model.store_errors import NotWritten
from controller.ports.login_config import LoginConfig
from controller.ports.observatory import Live
from controller.ports.store import Store
from controller.runtime.operations import Operations
from controller.runtime.recorder import Recorder
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.membership import alone
from tests.fakes.observatory import FakeObservatory
from tests.support.doorkeepers import open_guard

T = TypeVar("T")

WITHIN = 60.0
"""Seconds in which whatever a test waits for must have come."""


class AskedObservatory(FakeObservatory):
    """Counts how often somebody waited for news: who does has been sent everything that was there before."""

    asked = 0

    async def next(self, seen: int) -> int:
        self.asked += 1
        return await super().next(seen)


@dataclass
class AdminServer:
    """The admin API on a free port, over a memory store that outlives it: `stop` and `start` are a restart."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(skew=time.time()))
    fleet: FakeFleet = field(default_factory=FakeFleet)
    port: int = 0
    wrapped: Callable[[Store], Store] = lambda store: store
    """What stands between the operators' acts and the store."""
    guard: Guard = field(default_factory=open_guard)
    login: LoginConfig = field(default_factory=LoginConfig)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.store = MemoryStore(clock=self.clock)
        self._server: grpc.aio.Server | None = None
        self._following: asyncio.Task[None] | None = None
        self.operations = Operations(self.store, self.clock)
        self.recorder = Recorder(self.store, self.clock)
        self.observatory = self.do(self._observe())
        self.token = self.do(self.store.campaign("test")).token
        self.start()

    @property
    def address(self) -> str:
        """Where the admin API is."""
        return f"127.0.0.1:{self.port}"

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, run in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN)

    def start(self) -> None:
        """Start the server, on the same port as before."""
        self.do(self._start())

    def stop(self) -> None:
        """Stop the server at once, as a crash does."""
        self.do(self._stop())

    def see(self, service: str, live: Live) -> None:
        """A new look at a service."""
        self.do(self.observatory.see(service, live))

    def happens(self, service: str, event: Event, why: str = "because") -> None:
        """What automation decides: the rollout's event, committed as the loop does."""
        self.do(self._happens(service, event, why))

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """During the block the server neither responds nor closes, as a controller that hangs."""
        over = threading.Event()
        self._loop.call_soon_threadsafe(over.wait, WITHIN)
        try:
            yield
        finally:
            over.set()

    @contextlib.contextmanager
    def refusing(self, *, after: int) -> Iterator[None]:
        """During the block the store takes so many more batches of changes, and is full then."""
        taken = itertools.count(1)
        take = self.store.command_all

        async def refuse(changes: Sequence[Change]) -> list[int]:
            if next(taken) > after:
                raise NotWritten("full")
            return await take(changes)

        self.store.command_all = refuse  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.store.command_all = take  # type: ignore[method-assign]

    def close(self) -> None:
        """Everything ends."""
        self.stop()
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _observe(self) -> AskedObservatory:
        observatory = AskedObservatory(await self.store.load())
        self._following = asyncio.create_task(observatory.follow(self.store))
        return observatory

    async def _start(self) -> None:
        self._server = grpc.aio.server(interceptors=[self.guard], options=[*OPTIONS, ("grpc.so_reuseport", 0)])
        operations = Operations(self.wrapped(self.store), self.clock)
        members = alone(self.store.members)
        add_admin(self._server, operations, self.observatory, self.fleet, self.recorder, members, login=self.login)
        self.port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def _stop(self) -> None:
        if self._server:
            await self._server.stop(None)
        self._server = None

    async def _end(self) -> None:
        assert self._following
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    async def _happens(self, service: str, event: Event, why: str) -> None:
        state = (await self.store.load()).services[service]
        assert state.rollout
        after = state.model_copy(update={"rollout": state.rollout.moved(event, self.clock.wall(), why)})
        entry = Entry(
            kind=event.lower(),
            services=(service,),
            who="haldane",
            why=why,
            weights_before=state.weights,
            weights_after=after.weights,
        )
        change = Change(
            id=f"{service}-{event}-{state.revision}",
            fingerprint="",
            act=Act.RECORD,
            entry=entry,
            service=service,
            expects=state.revision,
            state=after,
        )
        await self.store.commit(change, self.token)


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds; fail with `what` if it does not in time."""
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end, f"not within {WITHIN:g} s: {what}"
        time.sleep(0.02)
