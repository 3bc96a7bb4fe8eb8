"""An etcd that was restored to an older state, or emptied: nothing that was acknowledged is undone in silence."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.core.model.freeze import ALL
from controller.core.model.ledger_chain import verify
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import ChainEnd
from controller.core.model.store_errors import NotWritten, StoreError, StoreLost
from controller.core.model.view import View
from controller.store.etcd.continuity import Held, contradiction
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.etcd.replicated_state import ReplicatedState
from tests.builders import change, freeze, freezing
from tests.fakes.clock import FakeClock
from tests.store.etcd_replicas import Replicas, gateway
from tests.support.etcd import EtcdCluster, etcd_cluster
from tests.support.waiting import wait_until

KEPT = ReplicatedState(View("mine", 7, {}), ChainEnd(7, "seven"), 70)


def held(store_id: str, head_mod: int, sequence: int, hash_: str) -> Held:
    """What etcd holds."""
    head = {"revision": sequence, "sequence": sequence, "hash": hash_, "schema": 1}
    return Held(store_id, head_mod, json.dumps(head).encode() if sequence else b"")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (held("mine", 70, 7, "seven"), ""),
        (held("mine", 75, 7, "seven"), ""),
        (held("mine", 80, 9, "nine"), ""),
        (held("mine", 69, 9, "nine"), "older state"),
        (held("mine", 80, 6, "six"), "older state"),
        (held("mine", 0, 0, ""), "older state"),
        (held("mine", 70, 7, "other"), "another history"),
        (held("other", 90, 9, "nine"), "another store"),
        (held("", 0, 0, ""), "no store"),
    ],
)
def test_what_can_follow_from_a_state(found: Held, said: str) -> None:
    """By the store's id, when its head was written, and the end of its ledger."""
    why = contradiction(KEPT, found)
    assert said in why if said else why == ""


async def restored(cluster: EtcdCluster, backup: Path) -> None:
    """The only member has what it had when the backup was made."""
    (member,) = cluster.members
    member.kill()
    shutil.rmtree(member.data)
    shutil.copytree(backup, member.data)
    cluster.start(member)
    await answering(cluster)


async def answering(cluster: EtcdCluster) -> None:
    """It has started."""

    async def answers() -> bool:
        try:
            await gateway(cluster.endpoints[0], "maintenance/status")
        except OSError:
            return False
        return True

    await wait_until(answers)


async def refuses(store: EtcdStore, said: str) -> None:
    """It serves the freeze that was acknowledged, stores nothing, does not lead, and says why."""

    async def problem() -> re.Match[str] | None:
        assert not await _done(store.load())
        return re.search(said, store.health.problem)

    await wait_until(problem, 10)
    for refused in (store.command(change("late")), store.campaign("leader")):
        with pytest.raises(StoreLost, match=said):
            await refused
    view = store.newest()
    assert (view.revision, view.freezes, list(view.services)) == (3, (freeze(),), ["one", "two"])


@pytest.mark.requires("etcd")
async def test_a_restored_etcd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has not the freeze that was acknowledged since. The controllers that know of it serve it, before and after a
    restart, also once others have written to that etcd; then an operator takes what it holds, frozen."""
    with etcd_cluster(tmp_path / "etcd") as cluster:
        await answering(cluster)
        replicas = Replicas(tmp_path, FakeClock(), cluster)
        store = await replicas.open(patience=0.5)
        for name in ("one", "two"):
            await store.command(change(name))
        cluster.members[0].kill()
        backup = shutil.copytree(cluster.members[0].data, tmp_path / "backup")
        cluster.start(cluster.members[0])
        await answering(cluster)
        await wait_until(lambda: _done(store.command(freezing(freeze(), lift=()))))
        await wait_until(lambda: _copied(replicas.folder("one"), 3))

        await restored(cluster, backup)
        await refuses(store, "restored to an older state|cut off, or restored")
        await store.close()
        store = await replicas.open()
        await refuses(store, "older state")

        stranger = await replicas.open("new machine")
        for name in ("three", "four", "five"):
            await stranger.command(change(name))
        await refuses(store, "another history")
        await store.close()
        again = await replicas.open()
        await refuses(again, "another history")
        await again.close()
        term = await stranger.campaign("stranger")

        monkeypatch.setenv("HALDANE_STORE", f"etcd:{cluster.endpoints[0]}?prefix={replicas.keys.prefix}")
        take = ["restore", "--reason", "the disks broke", "--output", "json"]
        assert await asyncio.to_thread(main, take) == 5  # while one decides
        await stranger.resign(term)
        assert await asyncio.to_thread(main, take) == 0
        with pytest.raises(NotWritten, match="another store"):
            await stranger.command(change("six"))
        await stranger.close()
        for name in ("one", "new machine"):
            opened = await replicas.open(name)
            view = await opened.load()
            assert (opened.health.problem, view.revision, len(view.services)) == ("", 6, 5)
            assert [(each.scope, each.reason) for each in view.freezes] == [(ALL, "restored")]
            lines = await opened.events()
            assert (lines[-1].entry.kind, lines[-1].entry.why) == (LedgerKind.STORE_RESTORED, "the disks broke")
            assert verify(lines).broken is None
        await replicas.close()


@pytest.mark.requires("etcd")
async def test_an_etcd_that_was_emptied(tmp_path: Path) -> None:
    """No new store is made in the place of one that was served here, unless that is asked for."""
    replicas = Replicas(tmp_path, FakeClock())
    store = await replicas.open()
    await store.command(change("one"))
    await wait_until(lambda: _copied(replicas.folder("one"), 1))
    await replicas.client().delete(f"{replicas.keys.prefix}/", f"{replicas.keys.prefix}0")
    with pytest.raises(StoreError, match="no store"):
        await store.load()
    with pytest.raises(StoreError, match="no store"):
        await store.command(change("two"))
    assert list(store.newest().services) == ["one"]
    await store.close()
    again = await replicas.open()
    assert "no store" in again.health.problem
    assert list(again.newest().services) == ["one"]
    await again.close()

    other = await replicas.open("new machine")  # which makes one, since it knows of none
    await other.command(change("three"))
    back = await replicas.open()
    assert "another store" in back.health.problem
    assert list(back.newest().services) == ["one"]
    await back.close()
    taken = await replicas.open(init=True)
    assert list((await taken.load()).services) == ["three"]
    await replicas.close()


async def _done(work: object) -> bool:
    try:
        await work  # type: ignore[misc]
    except StoreError:
        return False
    return True


def _copied(folder: Path, revision: int) -> bool:
    """Whether the copy on that machine has the revision."""
    path = folder / "last-known"
    return path.exists() and f'"revision":{revision},' in path.read_text()
