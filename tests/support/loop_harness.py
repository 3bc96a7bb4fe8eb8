"""A deciding replica over a memory store, with time, reports, proxies and hooks as the test has them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping

from controller.core.control.commands import Command, Verb
from controller.core.control.sync import Sync
from controller.core.model.actor import Actor
from controller.core.model.cluster_names import cluster_name
from controller.core.model.rollout import Phase, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.readings import Reading
from controller.core.traffic.reports import ClusterLoad
from controller.ports.hooks import Hooks
from controller.ports.store import Term
from controller.runtime.adapters import Adapters
from controller.runtime.allowed import Allowed
from controller.runtime.decider import Decider
from controller.runtime.leadership import lead
from controller.runtime.operations import Operations
from controller.runtime.recorder import Recorder
from controller.runtime.replica import Replica
from controller.runtime.store_watch import watch_store
from controller.store.memory import MemoryStore
from tests.builders import service_file
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.hooks import NoHooks
from tests.fakes.meter import FakeMeter

POLICY = """\
  steps: [20%, 50%]
  dwell: 5s
  warmup: 2s
  bake: 5s
  errors: {{max: 20%}}
  fallback: {fallback}
"""


def rollout_file(name: str = "scorer", *, port: int = 10000, fallback: str = "manual", extra: str = "") -> str:
    """A service whose rollout takes seconds; `extra` are further lines of its policy."""
    answer = 'fallback: {status: 503, body: "try again later"}\n'
    endpoints = {"v1": "127.0.0.1:9001", "v2": "127.0.0.1:9002"}
    policy = POLICY.format(fallback=fallback) + extra
    return service_file(name, port, endpoints=endpoints, more=answer, policy=policy)


class LoopHarness:
    """One replica that decides. A tick is half a second of traffic, reported, and one cycle over it."""

    def __init__(self, store: MemoryStore, clock: FakeClock, hooks: Hooks) -> None:
        self.store = store
        self.clock = clock
        self.book = Book()
        self.fleet = FakeFleet(synced=Sync(1, 1))
        self.figures = FakeMeter()
        self.operations = Operations(store, clock)
        self.recorder = Recorder(store, clock)
        self.published: list[View] = []
        self.readings: dict[str, Reading] = {}
        self.hooks = hooks
        self.replica = Replica(self.book, clock)
        self.deciders: list[Decider] = []
        """One for each term."""
        self.tokens: list[int] = []
        self.decides = asyncio.Event()
        """Set while a term runs."""
        self.deposed = asyncio.Event()
        """Set while none does."""
        self.cycles = 0

    @property
    def decider(self) -> Decider:
        """The decider of the newest term."""
        return self.deciders[-1]

    async def decide(self, term: Term) -> None:
        """Decide until the term ends. Nothing is saved."""
        adapters = Adapters(
            store=self.store,
            clock=self.clock,
            book=self.book,
            fleet=self.fleet,
            hooks=self.hooks,
            custom=self,
            meter=self.figures,
        )
        decider = Decider(
            adapters, self.recorder, token=term.token, served=self.replica, on_cycle=self._cycled, sync_share=1.0
        )
        self.deciders.append(decider)
        self.tokens.append(term.token)
        with self.replica.deciding(decider):
            self.decides.set()
            self.deposed.clear()
            try:
                await decider.run()
            finally:
                self.decides.clear()
                self.deposed.set()

    def publish(self, view: View) -> None:
        """Serve a view."""
        self.published.append(view)

    def _cycled(self) -> None:
        self.cycles += 1
        self.replica.announce()

    def take(self, state: ServiceState) -> Mapping[str, Reading]:
        """The custom metrics that the test has set since the last cycle."""
        told, self.readings = self.readings, {}
        return told

    async def apply(
        self, name: str = "scorer", *, port: int = 10000, fallback: str = "manual", extra: str = ""
    ) -> None:
        """Declare a service."""
        await self.operations.apply(rollout_file(name, port=port, fallback=fallback, extra=extra), who=Actor("alice"))

    async def act(self, verb: Verb, name: str = "scorer", *, canary: str = "", force: bool = False) -> None:
        """An operator's command."""
        await self.operations.act(name, Command(verb, "because", canary, force=force), who=Actor("alice"))

    async def state(self, name: str = "scorer") -> ServiceState:
        """A service as stored."""
        return (await self.store.load()).services[name]

    async def rollout(self, name: str = "scorer") -> Rollout:
        """Its rollout as stored."""
        rollout = (await self.state(name)).rollout
        assert rollout is not None
        return rollout

    async def kinds(self) -> list[str]:
        """The kinds of all ledger lines."""
        return [line.entry.kind for line in await self.store.events()]

    async def look(self) -> None:
        """Wait for one cycle, over everything that is there by now."""
        await asyncio.sleep(0)
        before, news = self.cycles, 0
        self.replica.wake(self.replica.view().services)
        while self.cycles == before:
            news = await self.replica.next(news)

    async def tick(
        self, name: str = "scorer", *, canary_errors: float = 0.0, stable_errors: float = 0.0, rps: int = 200
    ) -> None:
        """Half a second of traffic at the weights in force, then a look."""
        loads = self.loads(await self.state(name), canary_errors=canary_errors, stable_errors=stable_errors, rps=rps)
        self.clock.advance(0.5)
        self.book.on_load_report("envoy-1", loads, 0.5, self.clock.now)
        await self.look()

    def loads(
        self, state: ServiceState, *, canary_errors: float = 0.0, stable_errors: float = 0.0, rps: float = 200
    ) -> dict[str, ClusterLoad]:
        """What is reported of half a second of traffic at the weights in force, by cluster."""
        loads = {}
        for version in ("v1", "v2"):
            n = round(rps * 0.5 * state.weights.get(version, 0) / 10_000)
            bad = round(n * (stable_errors if version == state.stable else canary_errors))
            loads[cluster_name(state.name, version)] = ClusterLoad(started=n, ok=n - bad, errors=bad)
        return loads

    async def ticks(self, times: int, **traffic: float) -> None:
        """So many of them."""
        for _ in range(times):
            await self.tick(**traffic)  # type: ignore[arg-type]


async def tick_until(
    harness: LoopHarness, phase: Phase, *, within: int = 400, pause: float = 0.0, **traffic: float
) -> int:
    """Tick until the rollout is in that phase; how many ticks it took. `pause` is in seconds of the event loop."""
    for count in range(within):
        if (await harness.rollout()).phase is phase:
            return count
        await harness.tick(**traffic)  # type: ignore[arg-type]
        await asyncio.sleep(pause)
    raise AssertionError(f"not {phase} after {within} ticks: {await harness.rollout()}")


@contextlib.asynccontextmanager
async def running_loop(
    store: MemoryStore | None = None,
    clock: FakeClock | None = None,
    hooks: Hooks | None = None,
    metrics: Collection[str] = (),
) -> AsyncIterator[LoopHarness]:
    """A controller over this store, or a new one; at the end it is cut off as by kill -9: nothing is saved.

    Whoever gives a store gives its clock too. `metrics` are those that the settings have.
    """
    clock = clock or FakeClock()
    store = store or MemoryStore(clock=clock)
    harness = LoopHarness(store, clock, hooks or NoHooks())
    view = await store.load()
    harness.operations = Operations(store, clock, Allowed(metrics=metrics), observatory=harness.replica)
    harness.publish(view)
    harness.replica.on_view(view)
    work = (
        watch_store(store, harness.replica, harness.publish),
        lead(store, "harness", harness.decide),
    )
    tasks = [asyncio.create_task(each) for each in work]
    await harness.decides.wait()
    try:
        yield harness
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def running_rollout(
    store: MemoryStore | None = None,
    clock: FakeClock | None = None,
    *,
    metrics: Collection[str] = (),
    extra: str = "",
) -> AsyncIterator[LoopHarness]:
    """A running loop with a service whose rollout of v2 has just started; `extra` goes into its policy."""
    async with running_loop(store, clock, metrics=metrics) as harness:
        await harness.apply(extra=extra)
        await harness.act(Verb.START, canary="v2")
        yield harness
