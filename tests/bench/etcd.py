"""The store in etcd, three members on this machine: commits beside SQLite's, freezes at a follower, terms, sizes."""

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from controller.core.model.change import Change
from controller.core.model.store_errors import StoreLost
from controller.ports.store import Store
from controller.process.clock import SystemClock
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.etcd_store import EtcdStore, Limits
from controller.store.etcd.keys import Keys
from controller.store.sqlite import SqliteStore
from tests import builders
from tests.bench import Row
from tests.bench.xds import change
from tests.support.etcd import EtcdCluster, etcd_cluster
from tests.xds.views import service

COMMITS = 300
TTL = 10
SERVICES, LINES, TOGETHER = 1000, 10_000, 50
PREFIX = "/bench"


class Replicas:
    """Opens replicas of one store."""

    def __init__(self, cluster: EtcdCluster, folder: Path) -> None:
        self.client = EtcdClient(cluster.endpoints)
        self._cluster = cluster
        self._folder = folder

    async def open(self, name: str) -> EtcdStore:
        """The replica of that name."""
        client = EtcdClient(self._cluster.endpoints)
        limits = Limits(keep=2 * LINES, ttl=TTL)
        return await EtcdStore.open(client, PREFIX, clock=SystemClock(), folder=self._folder / name, limits=limits)


async def timed(work: Awaitable[object]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


def percentiles(what: str, case: str, taken: Sequence[float]) -> list[Row]:
    """The median, and what one of a hundred takes longer than."""
    cuts = statistics.quantiles(taken, n=100)
    return [Row(f"{what}, p50", case, cuts[49], "ms"), Row(f"{what}, p99", case, cuts[98], "ms")]


async def commits(store: EtcdStore, folder: Path) -> list[Row]:
    """Commits to etcd and to a file, in turns."""
    sqlite = SqliteStore.open(folder / "haldane.db", clock=SystemClock())
    stores: list[Store] = [store, sqlite]
    revisions = [await each.command(change(to=service(), expects=0)) for each in stores]
    taken: list[list[float]] = [[], []]
    for number in range(COMMITS):
        for which, each in enumerate(stores):
            sent = change(to=service(canary=("v2", 100 + number)), expects=revisions[which])
            begun = time.perf_counter()
            revisions[which] = await each.command(sent)
            taken[which].append((time.perf_counter() - begun) * 1000)
    await sqlite.close()
    case = f"{COMMITS} commits"
    return [*percentiles("commit to etcd", case, taken[0]), *percentiles("commit to SQLite", case, taken[1])]


async def freezes(leader: EtcdStore, follower: EtcdStore) -> list[Row]:
    """Freezes at a follower until they are durable, and until the leader has seen them."""
    durable, seen = [], []
    for number in range(COMMITS // 2):
        held = builders.freeze("scorer", since=float(number))
        before = leader.newest().revision
        seeing = asyncio.create_task(timed(anext(leader.watch(before))))
        durable.append(await timed(follower.command(builders.freezing(held))))
        seen.append(await seeing)
        await follower.command(builders.freezing(lift=(held,)))
        await leader.load()
    case = f"{COMMITS // 2} freezes"
    return [
        *percentiles("freeze at a follower, durable", case, durable),
        *percentiles("freeze at a follower, seen by the leader", case, seen),
    ]


async def terms(replicas: Replicas, leader: EtcdStore, follower: EtcdStore) -> list[Row]:
    """From the end of a term to the next one, if it is given up, and if its holder has died."""
    keys = Keys(PREFIX)
    term = await leader.campaign("leader")
    waiting = asyncio.create_task(follower.campaign("follower"))
    await asyncio.sleep(1)
    begun = time.perf_counter()
    await leader.resign(term)
    next_term = await waiting
    given_up = (time.perf_counter() - begun) * 1000
    await follower.resign(next_term)
    lease = await replicas.client.grant_lease(TTL)
    await replicas.client.put(keys.leader, b"{}", lease=lease)
    died = await timed(follower.campaign("follower"))
    return [
        Row("term given up -> next term", "", given_up, "ms"),
        Row("leader dead -> next term", f"ttl of {TTL} s", died, "ms"),
    ]


def batch(start: int, revisions: dict[str, int]) -> list[Change]:
    """The next changes of that many services, in turns."""
    names = [f"s{number % SERVICES:04}" for number in range(start, start + TOGETHER)]
    return [
        builders.change(name, expects=revisions.get(name, 0), to=builders.state(name, source="x" * 3000))
        for name in names
    ]


async def sizes(replicas: Replicas, store: EtcdStore) -> list[Row]:
    """A replica that opens a large store."""
    revisions: dict[str, int] = {}
    taken = []
    for start in range(0, LINES, TOGETHER):
        sent = batch(start, revisions)
        begun = time.perf_counter()
        made = await store.command_all(sent)
        taken.append((time.perf_counter() - begun) * 1000)
        revisions.update(zip((each.service for each in sent), made, strict=True))
    begun = time.perf_counter()
    fresh = await replicas.open("fresh")
    opened = (time.perf_counter() - begun) * 1000
    first = await timed(fresh.events())
    page = await timed(fresh.events(after=LINES - 1000))
    await fresh.close()
    case = f"{SERVICES} services, {LINES} lines"
    return [
        Row(f"{TOGETHER} services in one commit, p50", case, statistics.median(taken), "ms"),
        Row("open", case, opened, "ms"),
        Row("first reading of the ledger", case, first, "ms"),
        Row("a page of 1000 lines", case, page, "ms"),
    ]


async def measured(folder: Path) -> list[Row]:
    """All of them."""
    with etcd_cluster(folder / "etcd", 3) as cluster:
        replicas = Replicas(cluster, folder)
        while True:
            try:
                await replicas.client.range(PREFIX)
                break
            except StoreLost:
                await asyncio.sleep(0.1)
        leader, follower = await replicas.open("leader"), await replicas.open("follower")
        rows = await commits(leader, folder)
        rows += await freezes(leader, follower)
        rows += await terms(replicas, leader, follower)
        rows += await sizes(replicas, leader)
        for each in (leader, follower, replicas.client):
            await each.close()
        return rows


def run() -> list[Row]:
    """All of them; none where etcd is not installed."""
    if not shutil.which("etcd"):
        return []
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(Path(folder)))
