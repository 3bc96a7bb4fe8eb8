"""A store moved from a file into etcd and back: everything or nothing, frozen, and never used twice."""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.model.freeze import ALL, Act
from controller.core.model.ledger_chain import verify
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.member import Member
from controller.core.model.store_errors import Frozen, StoreLost, Unusable
from controller.ports.archive import SavedSession
from controller.store.etcd.client import EtcdClient, Lost
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.etcd.keys import Keys
from controller.store.etcd.member_records import MemberRecords
from controller.store.migration import etcd_place
from controller.store.migration.contents import Contents
from controller.store.migration.etcd_place import EtcdPlace
from controller.store.migration.migrate import Order, migrate
from controller.store.migration.sqlite_place import SqlitePlace, SqliteTarget
from controller.store.sqlite import SqliteStore
from tests.builders import change, excluding, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.support.etcd import shared_cluster

pytestmark = [pytest.mark.requires("etcd")]

ROOT = Path(__file__).parents[2]
SERVICES = 20


async def fill(path: Path) -> None:
    """A store with some of everything, and a ledger whose first part is trimmed."""
    store = SqliteStore.open(path, clock=FakeClock(), keep=20)
    for number in range(SERVICES):
        name = f"s{number}"
        revision = await store.command(change(name, change_id=f"first-{name}", to=state(name, source="text " * 2000)))
        await store.command(change(name, expects=revision, to=state(name, weight=500, source="text " * 2000)))
    await store.command(freezing(freeze("s1")))
    await store.command(excluding("edge-7"))
    await store.save_sessions({"s2": SavedSession("r2", "{}"), "s3": SavedSession("r3", '{"x": 1}')})
    for number in range(3):
        await store.save_recording(f"r{number}", os.urandom(900_000))
    await store.save_cursor("notify.pager", 17)
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM checkpoint").fetchone()[0] == 1


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of that store, made once."""
    path = tmp_path_factory.mktemp("filled") / "haldane.db"
    asyncio.run(fill(path))
    return path


@pytest.fixture
def file(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "source"
    folder.mkdir()
    return Path(shutil.copy(filled, folder / "haldane.db"))


@pytest.fixture
def prefix() -> str:
    """A prefix that nothing is below."""
    return f"/{uuid.uuid4()}"


def at(prefix: str) -> EtcdPlace:
    return EtcdPlace(lambda: EtcdClient(shared_cluster().endpoints), prefix, FakeClock())


def order(target: str = "etcd:there") -> Order:
    return Order("sqlite:here", target, who="ann@localhost", reason="to etcd", at=5.0)


async def contents_of(place: SqlitePlace | EtcdPlace) -> Contents:
    async with place.source() as source:
        return await source.read()


@contextlib.asynccontextmanager
async def etcd_store(prefix: str, folder: Path) -> AsyncIterator[EtcdStore]:
    client = EtcdClient(shared_cluster().endpoints)
    store = await EtcdStore.open(client, prefix, clock=FakeClock(), folder=folder)
    yield store
    await store.close()


class TestMoved:
    """What is there afterwards."""

    async def test_there_and_back_everything_is_the_same(self, file: Path, prefix: str, tmp_path: Path) -> None:
        """Records, ledger with its chain, checkpoint, sessions, recordings, cursors: equal, twice over."""
        before = await contents_of(SqlitePlace(file))
        moved = await migrate(SqlitePlace(file), at(prefix), order())
        assert len(moved.rows) == len(before.rows) + 1
        back = tmp_path / "back.db"
        again = await migrate(at(prefix), SqlitePlace(back), order("sqlite:back"))
        returned = await contents_of(SqlitePlace(back))
        returned.check()
        assert again.differences(returned) == []
        assert [row for row in returned.rows if row not in moved.rows][-1].row.line.entry.kind == "store_migrated"
        assert (returned.sessions, returned.recordings) == (before.sessions, before.recordings)
        assert returned.cursors == before.cursors == {"notify.pager": 17}
        assert len({each.view.store_id for each in (before, again, returned)}) == 3
        assert back.stat().st_mode & 0o777 == 0o600

    async def test_controllers_go_on_in_etcd_once_the_freeze_is_lifted(
        self, file: Path, prefix: str, tmp_path: Path
    ) -> None:
        """The freeze stands, says where from, and is lifted as any other. A change that was applied is known."""
        revision = (await contents_of(SqlitePlace(file))).view.revision
        await migrate(SqlitePlace(file), at(prefix), order())
        async with etcd_store(prefix, tmp_path) as store:
            view = await store.load()
            assert (view.revision, len(view.services)) == (revision + 1, SERVICES)
            (frozen,) = (each for each in view.freezes if each.scope == ALL)
            assert frozen.reason == "migrated to etcd:there"
            present = view.services["s0"].revision
            with pytest.raises(Frozen):
                await store.command(change("s0", act=Act.ADVANCE, expects=present, to=state("s0", weight=900)))
            await store.command(freezing(lift=(frozen,)))
            await store.command(change("s0", act=Act.ADVANCE, expects=present, to=state("s0", weight=900)))
            lines = await store.events()
            assert verify(lines).broken is None
            assert await store.load_session("s3", "r3") == '{"x": 1}'
            assert await store.load_cursor("notify.pager") == 17
            term = await store.campaign("one")
            assert not term.over

    async def test_the_source_moves_nothing_any_more(self, file: Path, prefix: str) -> None:
        """Whoever starts a controller on it by mistake finds everything frozen, and the ledger says why."""
        await migrate(SqlitePlace(file), at(prefix), order())
        store = SqliteStore.open(file, clock=FakeClock())
        present = store.newest().services["s0"].revision
        with pytest.raises(Frozen, match="migrated to etcd:there"):
            await store.command(change("s0", act=Act.ADVANCE, expects=present, to=state("s0", weight=900)))
        (line,) = [each for each in await store.events() if each.entry.kind == LedgerKind.STORE_MIGRATED]
        assert (line.entry.who, line.entry.why, line.entry.details["to"]) == ("ann@localhost", "to etcd", "etcd:there")
        await store.close()


class TestRefused:
    """What is refused changes nothing: the source is not even frozen."""

    @pytest.fixture(autouse=True)
    async def unchanged(self, file: Path) -> AsyncIterator[None]:
        before = await contents_of(SqlitePlace(file))
        yield
        assert (await contents_of(SqlitePlace(file))).view == before.view

    async def test_a_running_controller_on_the_file(self, file: Path, prefix: str) -> None:
        """The process is named."""
        running = SqliteStore.open(file, clock=FakeClock())
        with pytest.raises(Unusable, match="in use by another controller"):
            await migrate(SqlitePlace(file), at(prefix), order())
        await running.close()

    async def test_a_prefix_with_something_below_it(self, file: Path, prefix: str, tmp_path: Path) -> None:
        """A store, also one without a change; and anything else."""
        async with etcd_store(prefix, tmp_path):
            with pytest.raises(Unusable, match="only an empty prefix can be the target"):
                await migrate(SqlitePlace(file), at(prefix), order())

    async def test_members_that_do_not_answer(self, file: Path) -> None:
        """The address is named."""
        nobody = EtcdPlace(lambda: EtcdClient(["127.0.0.1:1"], patience=0.3), "/haldane", FakeClock())
        with pytest.raises(StoreLost, match=r"127\.0\.0\.1:1"):
            await migrate(SqlitePlace(file), nobody, order())

    async def test_files_that_are_not_there_or_are(self, file: Path, prefix: str, tmp_path: Path) -> None:
        """A source that is missing, a target that exists, a folder that does not."""
        with pytest.raises(Unusable, match="nothing to migrate"):
            await migrate(SqlitePlace(tmp_path / "none.db"), at(prefix), order())
        with pytest.raises(Unusable, match="has no store below"):
            await migrate(at(prefix), SqlitePlace(tmp_path / "new.db"), order())
        with pytest.raises(Unusable, match="is there already"):
            await migrate(SqlitePlace(file), SqlitePlace(file.with_name("haldane.db")), order())
        with pytest.raises(Unusable, match="is not there: make it first"):
            await migrate(SqlitePlace(file), SqlitePlace(tmp_path / "no" / "new.db"), order())


class TestFromEtcd:
    """A store that controllers may have open elsewhere."""

    async def test_is_not_moved_under_a_running_controller(self, file: Path, prefix: str, tmp_path: Path) -> None:
        """Those that have a record there are named."""
        await migrate(SqlitePlace(file), at(prefix), order())
        client = EtcdClient(shared_cluster().endpoints)
        records = MemberRecords(client, Keys(prefix), 5)
        await records.announce(Member(instance="i", name="edge-1", since=1.0, records=2, admin="10.0.0.1:1"))
        with pytest.raises(Unusable, match=r"controllers use the store.*edge-1 \(10.0.0.1:1\)"):
            await migrate(at(prefix), SqlitePlace(tmp_path / "back.db"), order("sqlite:back"))
        await records.withdraw()
        await client.close()
        assert not (tmp_path / "back.db").exists()

    async def test_one_that_starts_meanwhile_is_noticed(
        self, file: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It has moved nothing, since everything was frozen; and what was copied is no store."""
        await migrate(SqlitePlace(file), at(prefix), order())
        place = SqlitePlace(tmp_path / "back.db")

        async def start_and_read(target: SqliteTarget) -> Contents:
            async with etcd_store(prefix, tmp_path / "folder") as started:
                await started.command(freezing(freeze("s5")))
            return await read(target)

        read = SqliteTarget.read
        monkeypatch.setattr(SqliteTarget, "read", start_and_read)
        with pytest.raises(Unusable, match=r"has used the store below .* meanwhile"):
            await migrate(at(prefix), place, order("sqlite:back"))
        assert not (tmp_path / "back.db").exists()


class TestInterrupted:
    """Whenever it ends, the target is whole or no store, and it can be done again."""

    @pytest.mark.parametrize("cut", [1, 4, 5])
    async def test_cut_off_after_some_transactions(
        self, file: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
    ) -> None:
        """As by kill -9 or a network that is gone: no controller opens what is there, and it is done again over it."""
        monkeypatch.setattr(etcd_place, "HELD", 1)
        await cut_off(file, prefix, cut)
        with pytest.raises(Unusable, match="was begun and not finished"):
            async with etcd_store(prefix, tmp_path):
                pass
        moved = await until_free(SqlitePlace(file), at(prefix))
        assert len([row for row in moved.rows if row.row.line.entry.kind == "store_migrated"]) == 1
        async with etcd_store(prefix, tmp_path) as store:
            assert len((await store.load()).services) == SERVICES

    async def test_two_do_not_fill_the_same_place(self, file: Path, prefix: str) -> None:
        """Another one waits until it is known that the first one has ended."""
        await cut_off(file, prefix, 2)
        with pytest.raises(Unusable, match="another migration fills"):
            await migrate(SqlitePlace(file), at(prefix), order())

    async def test_kill_9_before_the_file_has_its_name(self, file: Path, prefix: str, tmp_path: Path) -> None:
        """The file is not there; a second time it is whole."""
        await migrate(SqlitePlace(file), at(prefix), order())
        back = tmp_path / "back.db"
        store = f"etcd:{','.join(shared_cluster().endpoints)}?prefix={prefix}"
        words = ["migrate", "--from", store, "--to", f"sqlite:{back}"]
        killed = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tests.support.killed_migration", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            capture_output=True,
        )
        assert (killed.returncode, back.exists()) == (-signal.SIGKILL, False)
        assert back.with_name("back.db.migrating").exists()
        moved = await migrate(at(prefix), SqlitePlace(back), order(f"sqlite:{back}"))
        assert moved.differences(await contents_of(SqlitePlace(back))) == []

    async def test_a_copy_that_differs_is_no_store(
        self, file: Path, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is read again and compared: what differs is named."""
        read = etcd_place.EtcdTarget.read

        async def read_wrong(target: etcd_place.EtcdTarget) -> Contents:
            found = await read(target)
            return replace(found, cursors={**found.cursors, "notify.pager": 1})

        monkeypatch.setattr(etcd_place.EtcdTarget, "read", read_wrong)
        with pytest.raises(Unusable, match="the copy differs from the source: cursors"):
            await migrate(SqlitePlace(file), at(prefix), order())
        with pytest.raises(Unusable, match="not finished"):
            async with etcd_store(prefix, tmp_path):
                pass


async def cut_off(file: Path, prefix: str, after: int) -> None:
    """Begin a migration whose connection to etcd is lost after so many transactions."""
    answered, call = 0, EtcdClient._call

    async def lose(*arguments: object) -> object:
        nonlocal answered
        answered += arguments[1] == "KV/Txn"
        if answered > after:
            raise Lost("cut off")
        return await call(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EtcdClient, "_call", lose)
        with pytest.raises(StoreLost, match="cut off"):
            await migrate(SqlitePlace(file), at(prefix), order())


async def until_free(source: SqlitePlace, target: EtcdPlace) -> Contents:
    """Migrate once the hold of the one before has run out."""
    for _ in range(100):
        with contextlib.suppress(Unusable):
            return await migrate(source, target, order())
        await asyncio.sleep(0.1)
    raise AssertionError("the hold never ran out")
