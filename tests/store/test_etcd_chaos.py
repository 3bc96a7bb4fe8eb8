"""Three replicas write through three members that are killed and paused: what the history says afterwards."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act
from controller.core.model.ledger_chain import verify
from controller.core.model.store_errors import NotWritten, StoreError, StoreLost
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.ports.store import Term
from controller.process.clock import SystemClock
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.etcd_store import EtcdStore, Limits
from controller.store.etcd.ledger_trim import read_checkpoint
from controller.store.ledger_export import exports_in, read_export
from controller.store.ledger_replay import Checkpoint, LedgerRow, replay
from controller.store.records import digest
from tests.builders import change, freeze, freezing, state
from tests.store.etcd_replicas import Replicas
from tests.support.etcd import EtcdCluster, etcd_cluster
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.requires("etcd"), pytest.mark.timeout(600)]

SECONDS = 60.0
SERVICES = ("a", "b", "c")
LIMITS = Limits(keep=100, ttl=3)


@dataclass
class History:
    """What was answered, and what each replica showed."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    served: dict[int, str] = field(default_factory=dict)
    """Revision -> digest of what was served at it, the same at every replica."""
    freezes: dict[str, bool] = field(default_factory=dict)
    """Of the changes that set or lift freezes: whether it is frozen after them."""
    advances: set[str] = field(default_factory=set)
    views: int = 0

    async def send(self, sent: Change, answer: Awaitable[int]) -> None:
        """Note what came of a change."""
        if sent.freeze or sent.lift:
            self.freezes[sent.id] = bool(sent.freeze)
        if sent.act is Act.ADVANCE:
            self.advances.add(sent.id)
        try:
            self.acknowledged[sent.id] = await answer
        except NotWritten:
            self.refused.add(sent.id)
        except StoreLost:
            self.unknown.add(sent.id)
        except StoreError:
            self.refused.add(sent.id)

    async def watch(self, store: EtcdStore) -> None:
        """Each view is newer than the one before, and says what every replica says at that revision."""
        revision = -1
        async for view in store.watch(0):
            assert view.revision > revision
            revision = view.revision
            content = _content(view)
            assert self.served.setdefault(revision, content) == content, revision
            self.views += 1


async def operate(store: EtcdStore, history: History, choose: random.Random) -> None:
    """An operator at one replica: service files, freezes and their ends."""
    while True:
        view = store.newest()
        name = choose.choice(SERVICES)
        if choose.random() < 0.2:
            held = view.freezes
            sent = freezing(lift=held) if held else freezing(freeze(ALL, since=time.time()))
        else:
            present = view.services.get(name)
            to = state(name, weight=choose.randrange(10_001))
            sent = change(name, expects=present.revision if present else 0, to=to)
        await history.send(sent, store.command(sent))
        await asyncio.sleep(choose.random() / 10)


async def lead(store: EtcdStore, who: str, history: History) -> None:
    """Automation at one replica, in its terms."""
    while True:
        try:
            term = await store.campaign(who)
        except StoreError:
            await asyncio.sleep(0.3)
            continue
        deciding = asyncio.create_task(_decide(store, term, history))
        await term.ended()
        deciding.cancel()
        await asyncio.gather(deciding, return_exceptions=True)


async def _decide(store: EtcdStore, term: Term, history: History) -> None:
    for number in range(1_000_000):
        name = SERVICES[number % len(SERVICES)]
        if present := store.newest().services.get(name):
            sent = change(name, expects=present.revision, act=Act.ADVANCE, to=state(name, weight=number % 10_000))
            await history.send(sent, store.commit(sent, term.token))
            await store.save_sessions({name: SavedSession("r1", f"{term.token}")})
        await asyncio.sleep(0.05)


async def disturb(cluster: EtcdCluster, choose: random.Random, until: float) -> None:
    """Members are killed and started again, or paused; sometimes two at once, so that there is no majority."""
    while time.monotonic() < until:
        await asyncio.sleep(choose.uniform(1, 3))
        hit = choose.sample(cluster.members, choose.choice([1, 1, 2]))
        killed = choose.random() < 0.5
        for member in hit:
            member.kill() if killed else member.send(signal.SIGSTOP)
        await asyncio.sleep(choose.uniform(0.5, 5))
        for member in hit:
            cluster.start(member) if killed else member.send(signal.SIGCONT)


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    """Acknowledged changes are there once, refused ones not, at the revision that was answered; freezes stop what comes
    after them; exports and ledger are one chain whose replay is the state; no replica ever went back."""
    choose, history = random.Random(seed), History()
    with etcd_cluster(tmp_path / "etcd", 3) as cluster:
        replicas = Replicas(tmp_path, SystemClock(), cluster)
        await wait_until(lambda: _opened(replicas))
        stores = [await replicas.open(name, limits=LIMITS) for name in ("one", "two", "three")]
        async with asyncio.TaskGroup() as tasks:
            for number, store in enumerate(stores):
                tasks.create_task(history.watch(store), name="watch")
                tasks.create_task(operate(store, history, random.Random(choose.random())), name="write")
                tasks.create_task(lead(store, f"replica {number}", history), name="write")
            await disturb(cluster, choose, time.monotonic() + SECONDS)
            await _ends(tasks, stores, history)
        await _check(replicas, stores, history)
        await replicas.close()


async def _opened(replicas: Replicas) -> bool:
    try:
        await replicas.client().range("/")
    except StoreLost:
        return False
    return True


async def _ends(tasks: asyncio.TaskGroup, stores: list[EtcdStore], history: History) -> None:
    """The writers stop; every replica comes to the same revision; the watches stop."""
    ours = [task for task in asyncio.all_tasks() if task.get_name() in ("watch", "write")]
    for task in ours:
        if task.get_name() == "write":
            task.cancel()
    await asyncio.sleep(1)
    for store in stores:
        await wait_until(partial(_loaded, store), 30)
    for task in ours:
        task.cancel()


async def _loaded(store: EtcdStore) -> View | None:
    try:
        return await store.load()
    except StoreLost:
        return None


async def _check(replicas: Replicas, stores: list[EtcdStore], history: History) -> None:
    views = [await store.load() for store in stores]
    assert len({_content(view) for view in views}) == 1
    assert len({view.revision for view in views}) == 1
    exported = {row.line.sequence: row for row in _exported(replicas)}
    client = EtcdClient(replicas.cluster.endpoints)
    checkpoint = (await read_checkpoint(client, replicas.keys, views[0].store_id)).checkpoint
    await client.close()
    kept = await stores[0].events(limit=100_000)
    lines = {sequence: row.line for sequence, row in exported.items()} | {line.sequence: line for line in kept}
    assert sorted(lines) == list(range(1, len(lines) + 1))
    assert verify(lines[number] for number in sorted(lines)).broken is None
    rows = [exported[number] for number in sorted(exported) if number <= checkpoint.chain.last]
    assert replay(rows, Checkpoint.empty(views[0].store_id)).view == checkpoint.view

    ids = [line.change_id for line in lines.values()]
    assert len(ids) == len(set(ids))
    applied = {line.change_id: line.revision for line in lines.values()}
    assert {each: applied.get(each) for each in history.acknowledged} == history.acknowledged
    assert not history.refused & applied.keys()
    frozen = False
    for number in sorted(lines):
        change_id = lines[number].change_id
        assert not (frozen and change_id in history.advances)
        frozen = history.freezes.get(change_id, frozen)
    assert history.advances & applied.keys()
    assert any(history.freezes.get(each) for each in applied)
    assert len(history.acknowledged) > 100
    assert history.views > 100
    assert exported


def _exported(replicas: Replicas) -> Iterator[LedgerRow]:
    for name in ("one", "two", "three"):
        for export in exports_in(replicas.folder(name) / "ledger"):
            yield from read_export(export.path.read_text().splitlines())


def _content(view: View) -> str:
    weights = sorted((name, each.revision, str(each.weights)) for name, each in view.services.items())
    return digest(f"{weights} {view.freezes}")
