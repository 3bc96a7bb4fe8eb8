"""Many rollouts at once in one deciding process: what they cost, and whether harm at one is found as fast as alone.

The reports go into the book as the intake's do; what the intake itself costs is its own benchmark. Store, sessions and
recordings are on the disk. Reports of a tenth of the services arrive at a time.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from controller.core.control.commands import Command, Verb
from controller.core.control.sync import Sync
from controller.core.model.actor import Actor
from controller.core.model.cluster_names import cluster_name
from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.core.traffic.book import Book
from controller.core.traffic.readings import Reading
from controller.core.traffic.reports import ClusterLoad
from controller.ports.store import Term
from controller.process.clock import SystemClock
from controller.process.gc_tuning import tune_gc
from controller.process.logs import configure_logs
from controller.runtime.adapters import Adapters
from controller.runtime.decider import Decider
from controller.runtime.leadership import lead
from controller.runtime.operations import Operations
from controller.runtime.recorder import Recorder
from controller.runtime.replica import Replica
from controller.runtime.store_watch import watch_store
from controller.store.sqlite import SqliteStore
from tests.bench import Row
from tests.bench.judge import CASES, Judge, least, windows
from tests.builders import service_file
from tests.fakes.fleet import FakeFleet
from tests.fakes.hooks import NoHooks
from tests.fakes.meter import FakeMeter
from tests.support.waiting import wait_until

COUNTS = (1, 1000)
PACE = 0.2
"""Seconds between two reports on a service."""
SHIFTS = 10
WARM, WATCHED = 8.0, 20.0
"""Seconds before the measurement, and of it."""
POLICY = "  steps: [20%, 50%]\n  dwell: 1h\n  warmup: 1s\n"
REQUESTS = 40
"""In each report on a service."""


@dataclass
class Proxy:
    """The one proxy: it reports on every service. `harmed` is the service whose canary fails from now on."""

    replica: Replica
    book: Book
    names: list[str]
    harmed: str = ""
    spent: float = 0.0
    """Seconds of CPU of reporting itself."""
    reports: int = 0
    """Reports on a service so far."""

    async def run(self) -> None:
        """Report, one shift after the other, until cancelled."""
        due = time.monotonic()
        for shift in cycle(range(SHIFTS)):
            begun = time.thread_time()
            self._report(self.names[shift::SHIFTS])
            self.spent += time.thread_time() - begun
            due = max(due + PACE / SHIFTS, time.monotonic() - PACE)  # proxies keep their pace, but do not catch up
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _report(self, names: list[str]) -> None:
        services, loads = self.replica.view().services, {}
        for name in names:
            for version, weight in services[name].weights.items():
                n = REQUESTS * weight // 10_000
                bad = n // 2 if (name, version) == (self.harmed, "v2") else 0
                loads[cluster_name(name, version)] = ClusterLoad(started=n, ok=n - bad, errors=bad)
        self.reports += len(names)
        self.replica.on_reports(self.book.on_load_report("edge-1", loads, PACE, time.monotonic()))


class NoMetrics:
    """No policy names a custom metric."""

    def take(self, state: ServiceState) -> Mapping[str, Reading]:
        """None."""
        return {}


@asynccontextmanager
async def deciding(folder: Path, count: int) -> AsyncIterator[Proxy]:
    """A controller without its ports, in which so many rollouts run."""
    clock, book = SystemClock(), Book()
    store = SqliteStore.open(folder / "haldane.db", clock=clock)
    replica, recorder = Replica(book, clock), Recorder(store, clock)
    operations = Operations(store, clock, observatory=replica)
    names = [f"s{number:04}" for number in range(count)]
    await operations.apply_all(
        [service_file(n, 10_000 + i, policy=POLICY) for i, n in enumerate(names)], who=Actor("bench")
    )
    for name in names:
        await operations.act(name, Command(Verb.START, "bench", "v2"), who=Actor("bench"))
    replica.on_view(await store.load())
    fleet, meter = FakeFleet(synced=Sync(1, 1)), FakeMeter()

    async def decide(term: Term) -> None:
        world = Adapters(store, clock, book, fleet, NoHooks(), NoMetrics(), meter)
        decider = Decider(world, recorder, token=term.token, served=replica, on_cycle=replica.announce, sync_share=1.0)
        with replica.deciding(decider):
            await decider.run()

    proxy = Proxy(replica, book, names)
    work = (
        watch_store(store, replica, lambda _view: None),
        lead(store, "bench", decide),
        proxy.run(),
    )
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield proxy
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()


async def measured(folder: Path, count: int) -> list[Row]:
    """The share of a core that the rollouts take, and the reports from harm at one of them to its rollback."""
    case = f"{count} rollouts, {1 / PACE:g} reports a second each"
    async with deciding(folder, count) as proxy:
        running = [Phase.PROGRESSING]
        await wait_until(lambda: all(s.rollout.phase in running for s in proxy.replica.view().services.values()), 120)
        tune_gc()
        await asyncio.sleep(WARM)
        cpu, wall, spent, before = time.process_time(), time.monotonic(), proxy.spent, proxy.reports
        await asyncio.sleep(WATCHED)
        used = time.process_time() - cpu - (proxy.spent - spent)
        share, reports = used / (time.monotonic() - wall), proxy.reports - before
        proxy.harmed = proxy.names[count // 2]
        harmed_at = time.monotonic()

        def rolled_back() -> bool:
            rollout = proxy.replica.view().services[proxy.harmed].rollout
            return rollout is not None and rollout.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)

        await wait_until(rolled_back, 120, every=0.01)
        return [
            Row("of a core, without the reports themselves", case, 100 * share, "%"),
            Row("the same for one report on a service", case, used / reports * 1e6, "us"),
            Row("the same, in ticks of the judge alone", case, used / reports * 1e6 / judge_tick(), "x"),
            Row("reports on a service a second", case, reports / WATCHED / count, ""),
            Row("harm at one to its rollback", case, time.monotonic() - harmed_at, "s"),
        ]


def judge_tick() -> float:
    """Microseconds of one tick of the judge alone, on this machine now."""
    alone, seen = Judge(), windows(*CASES["100 rps, 5 %, five a second"])
    return least(alone.look, alone.start, seen)


def run() -> list[Row]:
    """All of them."""
    configure_logs("error")
    rows = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += asyncio.run(measured(Path(folder), count))
    return rows
