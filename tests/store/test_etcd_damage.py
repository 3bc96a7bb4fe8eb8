"""What others write below the prefix, or what a disk has spoilt: no controller ends by it, every error is typed, and
freezes stay."""

import zlib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controller.core.model.store_errors import NotWritten, StoreError, Unusable
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.etcd.keys import unpacked
from tests.builders import freeze, freezing
from tests.fakes.clock import FakeClock
from tests.store.etcd_replicas import Replicas
from tests.support.waiting import wait_until

pytestmark = pytest.mark.requires("etcd")

BOMB = zlib.compress(bytes(100_000_000))


async def frozen(replicas: Replicas, key: str, value: bytes) -> EtcdStore:
    """A replica that serves a freeze, after which that value came below the prefix."""
    store = await replicas.open()
    await store.command(freezing(freeze("scorer")))
    await replicas.client().put(f"{replicas.keys.below}{key}", value)
    return store


@pytest.mark.parametrize("value", [b"\xff", b'{"revision": "x", "sequence": 1, "hash": ""}'])
async def test_a_head_that_cannot_be_read_stops_changes_and_nothing_else(tmp_path: Path, value: bytes) -> None:
    """It is named, the freeze is served, and once the head is mended the replica follows again."""
    replicas = Replicas(tmp_path, FakeClock())
    store = await frozen(replicas, "state/head", value)
    for refused in (store.load(), store.command(freezing(freeze("other"))), store.campaign("one"), store.events()):
        with pytest.raises(NotWritten, match="a head that cannot be read"):
            await refused
    assert "a head that cannot be read" in store.health.problem
    assert [each.scope for each in store.newest().freezes] == ["scorer"]
    with pytest.raises(Unusable, match="a head that cannot be read"):
        await replicas.open("another")

    await replicas.client().put(replicas.keys.head, store._follower.state.head_value)
    another = await replicas.open("another")
    await another.command(freezing(freeze("other")))
    await wait_until(lambda: len(store.newest().freezes) == 2)
    await replicas.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state/services/\udcff\udcfe", b"x"),
        ("state/\udcff", b"x"),
        ("state/exclusions/edge-1", b"\xff"),
        ("leader", b"\xff"),
        ("leader", b"[]"),
        ("controllers/x", b"\xff"),
        ("ledger/9999999999999999", b"x"),
        ("ledger/0000000000000001x", b"x"),
        ("cursors/pager", b"\xff"),
        ("sessions/scorer", b"\xff"),
    ],
)
async def test_a_foreign_value_ends_nothing(tmp_path: Path, key: str, value: bytes) -> None:
    """Commands, the ledger, the roster and what is kept go on, here and at a replica that starts after it."""
    replicas = Replicas(tmp_path, FakeClock())
    store = await frozen(replicas, key, value)
    for each in (store, await replicas.open("another")):
        await each.command(freezing(freeze("other")))
        assert (await each.events())[-1].sequence == each.newest().revision
        await each.members.roster()
        assert await each.load_cursor("pager") is None
        assert await each.load_session("scorer", "some") is None
        assert {"scorer", "other"} <= {each.scope for each in (await each.load()).freezes}
    await replicas.close()


async def test_what_no_controller_wrote_is_not_served_and_named_in_the_log(tmp_path: Path) -> None:
    """A freeze that is deleted by hand stays in force where it was known."""
    replicas = Replicas(tmp_path, FakeClock())
    store = await replicas.open()
    await store.command(freezing(freeze("scorer")))
    with capture_logs() as logs:
        await replicas.client().delete(replicas.keys.freezes("scorer"))
        await wait_until(lambda: any(each["event"] == "written_by_others" for each in logs))
    assert [each.scope for each in store.newest().freezes] == ["scorer"]
    await replicas.close()


@pytest.mark.parametrize(("key", "value"), [("id", b"\xff"), ("checkpoint", b"[]")])
async def test_what_is_needed_and_cannot_be_read_is_a_typed_error(tmp_path: Path, key: str, value: bytes) -> None:
    """The store's id, and where the trimmed ledger ends."""
    replicas = Replicas(tmp_path, FakeClock())
    store = await frozen(replicas, key, value)
    with pytest.raises(StoreError):
        await (store.load() if key == "id" else store.events())
    assert store.health.problem
    await replicas.close()


def test_what_unpacks_to_more_than_the_limit_is_not_unpacked() -> None:
    """A hundred kilobytes could be a hundred megabytes."""
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        unpacked(BOMB, 1000)
    assert unpacked(zlib.compress(b"x" * 1000), 1000) == "x" * 1000
