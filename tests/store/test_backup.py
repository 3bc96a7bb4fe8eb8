"""Backups: whole, verified, and restored frozen."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from controller.core.model.freeze import Act
from controller.core.model.ledger_chain import verify
from controller.core.model.store_errors import Frozen, Unusable
from controller.store.backup import back_up, inspect
from controller.store.restore import restore
from controller.store.sqlite import SqliteStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.processes import child
from tests.support.waiting import wait_until

FIRST_SCHEMA = Path(__file__).with_name("schema-1.sql")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "haldane.db"


def open_store(path: Path, keep: int = 10_000) -> SqliteStore:
    return SqliteStore.open(path, clock=FakeClock(), keep=keep)


def names(folder: Path) -> set[str]:
    """Everything in a folder, and in those within."""
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def exports_of(store: Path) -> set[str]:
    """The exports of a store's ledger."""
    return names(store.with_name(store.name + "-ledger"))


def put_back(path: Path, backup: Path) -> Path | None:
    """Restore as an operator would; the former store."""
    return restore(path, backup, who="alice", reason="the disk broke", at=1_700_000_000.0).aside


class TestBackup:
    """`back_up`."""

    async def test_of_a_store_that_is_in_use(self, path: Path, tmp_path: Path) -> None:
        """It is what the store held at one moment, in one file that needs no other."""
        store = open_store(path)
        await store.command(change())
        await store.command(freezing(freeze()))
        contents = back_up(path, tmp_path / "copy.db")
        await store.command(change("other", to=state("other")))
        lines = await store.events()
        assert (contents.revision, contents.sequence, contents.hash) == (2, 2, lines[1].hash)
        assert (contents.services, contents.freezes) == (1, 1)
        await store.close()
        alone = tmp_path / "alone"
        alone.mkdir()
        os.replace(tmp_path / "copy.db", alone / "copy.db")
        assert inspect(alone / "copy.db") == contents
        assert names(alone) == {"copy.db"}
        assert (alone / "copy.db").stat().st_mode & 0o777 == 0o600

    async def test_of_a_store_that_no_controller_has(self, path: Path, tmp_path: Path) -> None:
        """And it leaves nothing beside either file."""
        store = open_store(path)
        await store.command(change())
        await store.close()
        assert back_up(path, tmp_path / "copy.db").revision == 1
        assert names(tmp_path) == {"state", "state/haldane.db", "state/haldane.db.lock", "copy.db"}

    async def test_while_it_is_written_to(self, path: Path, tmp_path: Path) -> None:
        """Every copy is sound, and later ones hold more."""
        with child("write", str(path), "7") as writer:
            revisions = []
            for number in range(5):
                for _ in range(30):
                    writer.next()
                revisions.append(back_up(path, tmp_path / f"{number}.db").revision)
            writer.kill()
        assert revisions == sorted(set(revisions))

    async def test_nothing_is_overwritten(self, path: Path, tmp_path: Path) -> None:
        """Neither a file nor a link, also one that leads nowhere."""
        await open_store(path).close()
        (tmp_path / "copy.db").write_text("precious")
        (tmp_path / "link.db").symlink_to(tmp_path / "nowhere")
        for name in ("copy.db", "link.db"):
            with pytest.raises(Unusable, match="exists already"):
                back_up(path, tmp_path / name)
        assert (tmp_path / "copy.db").read_text() == "precious"

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("UPDATE services SET record = '{}'", "has a record that cannot be read, of the service scorer"),
            ("DELETE FROM ledger WHERE sequence = 1", "has a broken ledger"),
            ("UPDATE services SET record = replace(record, 'text', 'else')", "does not hold what its ledger says"),
            ("DELETE FROM freezes", "does not hold what its ledger says"),
            ("PRAGMA user_version = 99", "written by a newer Haldane"),
            ("PRAGMA application_id = 1", "another program"),
        ],
    )
    async def test_what_is_not_sound_is_no_backup(
        self, path: Path, tmp_path: Path, statement: str, message: str
    ) -> None:
        """And none is left behind, nor taken for one."""
        store = open_store(path)
        await store.command(change())
        await store.command(freezing(freeze()))
        await store.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(statement)
        with pytest.raises(Unusable, match=message):
            back_up(path, tmp_path / "copy.db")
        before = names(tmp_path)
        assert before == {"state", "state/haldane.db", "state/haldane.db.lock"}
        with pytest.raises(Unusable, match=message):
            put_back(tmp_path / "state" / "new.db", path)
        assert names(tmp_path) == before

    def test_without_a_store_there_is_none(self, tmp_path: Path) -> None:
        """An empty one would look like a backup."""
        with pytest.raises(Unusable, match="is not there"):
            back_up(tmp_path / "haldane.db", tmp_path / "copy.db")
        (tmp_path / "haldane.db").write_bytes(b"")
        with pytest.raises(Unusable, match="is no store"):
            back_up(tmp_path / "haldane.db", tmp_path / "copy.db")


@pytest.fixture
async def copied(path: Path, tmp_path: Path) -> Path:
    """A backup of a store in which the canary has half the traffic. The store has rolled it back since."""
    store = open_store(path)
    revision = await store.command(change(to=state(weight=5000)))
    back_up(path, tmp_path / "copy.db")
    await store.command(change(expects=revision, to=state(weight=0), act=Act.ROLLBACK))
    await store.close()
    return tmp_path / "copy.db"


class TestRestore:
    """`restore`."""

    async def test_it_is_frozen_and_the_ledger_says_so(self, path: Path, copied: Path) -> None:
        """Nothing moves by itself, not even back: the rollback since is not in it."""
        was = inspect(copied)
        put_back(path, copied)
        store = open_store(path)
        view = await store.load()
        assert [(f.scope, f.mode, f.reason, f.who, f.until) for f in view.freezes] == [
            ("*", "freeze", "restored", "alice", None)
        ]
        assert view.services["scorer"].weights["v2"] == 5000
        for act in (Act.ADVANCE, Act.ROLLBACK):
            with pytest.raises(Frozen):
                await store.command(change(expects=view.services["scorer"].revision, act=act))
        lines = await store.events()
        assert verify(lines).broken is None
        last = lines[-1].entry
        assert (last.kind, last.who, last.why) == ("store_restored", "alice", "the disk broke")
        assert (last.details["through"], last.details["hash"]) == (was.sequence, was.hash)
        await store.command(freezing(lift=view.freezes))
        await store.close()

    async def test_it_is_a_store_of_its_own(self, path: Path, copied: Path) -> None:
        """By its id proxies are served it at once, and by its term no late write of the former one's gets in."""
        store = open_store(path)
        former, term = await store.load(), await store.campaign("haldane")
        await store.close()
        put_back(path, copied)
        store = open_store(path)
        assert (await store.load()).store_id not in (former.store_id, inspect(copied).store_id)
        assert (await store.campaign("haldane")).token != term.token
        await store.close()

    async def test_the_former_store_is_kept_with_everything_in_it(self, path: Path, copied: Path) -> None:
        """Also what was only in its log."""
        with child("write", str(path), "3") as writer:
            said = [writer.next() for _ in range(50)]
            writer.kill()
        acknowledged = max(line["acknowledged"] for line in said if "acknowledged" in line)
        assert path.with_name("haldane.db-wal").stat().st_size
        aside = put_back(path, copied)
        assert aside
        assert aside.name == "haldane.db.before-restore-20231114T221320Z"
        assert inspect(aside).revision >= acknowledged
        assert inspect(path).revision == inspect(copied).revision + 1

    async def test_a_damaged_store_is_replaced_and_kept(self, path: Path, copied: Path) -> None:
        """That is what backups are for."""
        for file, content in ((path, b"x"), (path.with_name("haldane.db-wal"), b"y")):
            file.write_bytes(content * 10_000)
        aside = put_back(path, copied)
        assert aside
        assert aside.read_bytes() == b"x" * 10_000
        await open_store(path).close()

    async def test_a_backup_of_an_older_version_is_restored(self, path: Path, tmp_path: Path) -> None:
        """From the first schema on."""
        with closing(sqlite3.connect(tmp_path / "old.db")) as db:
            db.executescript(FIRST_SCHEMA.read_text())
        old = inspect(tmp_path / "old.db")
        assert old.services
        put_back(path, tmp_path / "old.db")
        assert inspect(path).revision == old.revision + 1

    async def test_where_there_is_no_store_one_is_made(self, copied: Path, tmp_path: Path) -> None:
        """On another machine."""
        assert put_back(tmp_path / "elsewhere" / "haldane.db", copied) is None
        assert inspect(tmp_path / "elsewhere" / "haldane.db").freezes == 1

    async def test_under_a_running_controller_it_is_refused(self, path: Path, copied: Path) -> None:
        """It names the process, and the store is as it was."""
        store = open_store(path)
        before = await store.load()
        with pytest.raises(Unusable, match=f"in use by another controller .process {os.getpid()}"):
            await asyncio.to_thread(put_back, path, copied)
        assert await store.load() == before
        await store.close()
        assert not [name for name in names(path.parent) if "restor" in name]

    def test_a_controller_that_has_the_store_under_another_name_is_noticed(self, path: Path, copied: Path) -> None:
        """A hard link has a lock file of its own."""
        os.link(path, path.with_name("other.db"))
        with child("write", str(path.with_name("other.db")), "5") as other:
            assert "opened" in other.next()
            with pytest.raises(Unusable, match="has it under another name"):
                put_back(path, copied)

    async def test_exports_that_the_backup_does_not_know_go_aside(self, path: Path, tmp_path: Path) -> None:
        """Its own ledger goes on from its last line, and must not meet another one's exports in the folder."""
        store = open_store(path, keep=40)
        revision = 0

        async def exports(count: int) -> None:
            nonlocal revision
            while len(exports_of(path)) < count:
                revision = await store.command(change(expects=revision))
                await asyncio.sleep(0)

        await exports(1)
        back_up(path, tmp_path / "copy.db")
        trimmed = inspect(tmp_path / "copy.db").trimmed
        await exports(3)
        await store.close()
        await wait_until(lambda: not any(name.endswith(".partial") for name in exports_of(path)))
        every = exports_of(path)
        aside = put_back(path, tmp_path / "copy.db")
        assert aside
        assert exports_of(path) | exports_of(aside) == every
        assert exports_of(path) == {name for name in every if int(name.split("-")[1]) <= trimmed}
        assert exports_of(aside)
