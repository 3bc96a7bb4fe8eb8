"""Opening the file: what cannot be right is refused with what to do about it, and left exactly as it was."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from controller.core.model.actor import Proof
from controller.core.model.freeze import Mode
from controller.core.model.ledger_chain import verify
from controller.core.model.store_errors import Unusable
from controller.store.database import Database
from controller.store.ledger_replay import replay
from controller.store.schema import APPLICATION, FILE_SCHEMA, prepare
from controller.store.sqlite import SqliteStore
from tests.builders import change, excluding, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.processes import child

FIRST_SCHEMA, THIRD_SCHEMA = (Path(__file__).with_name(f"schema-{number}.sql") for number in (1, 3))
"""Stores as the first and the third schema had them: never edited, never made again."""


async def filled(path: Path) -> None:
    """A closed store with something in it."""
    store = SqliteStore.open(path, clock=FakeClock())
    revision = 0
    for weight in range(50):
        revision = await store.command(change(expects=revision, to=state(weight=weight, source="x" * 2000)))
    await store.close()


def as_text(path: Path) -> None:
    path.write_text("service: scorer\n" * 1000)


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def page_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xa5" * 4096)


def header_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\0" * 100)


def table_lost(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE services")


def row_lost(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM store")


def newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA user_version = {FILE_SCHEMA + 1}")


def foreign(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE store (id TEXT)")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "another kind of file": (as_text, "corrupt.*file is not a database.*To restore"),
    "cut short": (cut_short, "corrupt.*To restore"),
    "a page overwritten": (page_overwritten, "corrupt.*To restore"),
    "the header overwritten": (header_overwritten, "corrupt.*To restore"),
    "a table lost": (table_lost, "corrupt.*To restore"),
    "a row lost": (row_lost, "corrupt.*To restore"),
    "a newer schema": (newer, r"newer Haldane \(schema 8, this one reads up to 7\): upgrade"),
    "another program's database": (foreign, r"another program.*HALDANE_STORE"),
    "a folder": (a_folder, "cannot be opened"),
}


@pytest.mark.proves("fault 16")
@pytest.mark.parametrize(("damage", "told"), DAMAGE.values(), ids=DAMAGE)
async def test_a_file_that_cannot_be_right_is_refused_and_kept(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    """The message names the file, what is wrong and what to do; the file is not touched; the lock is free again."""
    path = tmp_path / "haldane.db"
    await filled(path)
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    for _ in range(2):
        with pytest.raises(Unusable, match=told) as refused:
            SqliteStore.open(path, clock=FakeClock())
        assert str(refused.value).startswith(str(path))
        assert str(refused.value).count(str(path)) == 1
    assert (path.read_bytes() if path.is_file() else b"") == before


class TestRights:
    """Files and folders that may not be written."""

    def opened_by_nobody(self, path: Path) -> str:
        """Why a process without special rights cannot open it."""
        with child("open", str(path)) as running:
            return str(running.next()["unusable"])

    @pytest.fixture
    def open_folder(self) -> Iterator[Path]:
        """A folder that everybody may use."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o777)
            yield Path(folder)
            Path(folder).chmod(0o777)

    @pytest.mark.proves("fault 16")
    async def test_a_file_that_may_not_be_written(self, open_folder: Path) -> None:
        """Refused at the start, not at the first change."""
        path = open_folder / "haldane.db"
        await filled(path)
        path.chmod(0o444)
        path.with_name("haldane.db.lock").chmod(0o666)
        told = self.opened_by_nobody(path)
        assert "cannot be opened: Permission denied" in told
        assert "must be writable" in told

    def test_a_folder_that_may_not_be_written(self, open_folder: Path) -> None:
        """The message names the file and the setting that chooses another."""
        open_folder.chmod(0o555)
        told = self.opened_by_nobody(open_folder / "haldane.db")
        assert "haldane.db cannot be used (Permission denied: " in told
        assert "HALDANE_STORE=sqlite:PATH" in told

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        """A file stands where the folder should be."""
        (tmp_path / "file").write_text("")
        with pytest.raises(Unusable, match=r"cannot be used \(File exists: .*/file\).*HALDANE_STORE"):
            SqliteStore.open(tmp_path / "file" / "haldane.db", clock=FakeClock(), init=True)


class TestOneController:
    """Two controllers on one file would serve two truths."""

    @pytest.mark.proves("fault 16")
    async def test_a_second_process_is_refused_and_told_who_has_it(self, tmp_path: Path) -> None:
        """The first goes on; once it has ended, however it ended, the file is free."""
        path = tmp_path / "haldane.db"
        with child("write", str(path), "1") as first:
            pid = first.next()["opened"]
            with pytest.raises(Unusable, match=rf"in use by another controller \(process {pid}\).*HALDANE_STORE"):
                SqliteStore.open(path, clock=FakeClock())
            assert "acknowledged" in first.next()
            first.kill()
        store = SqliteStore.open(path, clock=FakeClock())
        assert (await store.load()).revision > 0
        await store.close()

    async def test_the_same_process_cannot_open_it_twice(self, tmp_path: Path) -> None:
        """Until it has closed it."""
        path = tmp_path / "haldane.db"
        store = SqliteStore.open(path, clock=FakeClock())
        with pytest.raises(Unusable, match="in use"):
            SqliteStore.open(path, clock=FakeClock())
        await store.close()
        await SqliteStore.open(path, clock=FakeClock()).close()

    async def test_somebody_may_look_into_the_file_meanwhile(self, tmp_path: Path) -> None:
        """A reader by hand sees whole states and stands in no one's way."""
        path = tmp_path / "haldane.db"
        store = SqliteStore.open(path, clock=FakeClock())
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM services").fetchall()
            assert await store.command(change()) == 1
            assert reader.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
        await store.close()


class TestMigration:
    """A file of an older schema becomes one of the present; nothing of it is lost."""

    @pytest.mark.proves("fault 33")
    async def test_a_store_of_the_first_schema_opens_with_everything_in_it(self, tmp_path: Path) -> None:
        """Services, freezes, a trimmed ledger whose chain holds, change ids, sessions."""
        path = tmp_path / "haldane.db"
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.executescript(FIRST_SCHEMA.read_text())
        store = SqliteStore.open(path, clock=FakeClock())
        view = await store.load()
        lines = await store.events()
        assert (view.store_id, view.revision) == ("3f0c2a52-6f0e-4bb1-9d3c-0b1f6d1f5a11", 9)
        assert {name: s.weights for name, s in view.services.items()} == {
            "other": {"v1": 10_000},
            "scorer": {"v2": 2500, "v1": 7500},
        }
        assert [(f.scope, f.reason) for f in view.freezes] == [("*", "incident 42")]
        assert dict(view.broken) == {}
        assert [line.sequence for line in lines] == [2, 3, 4, 5, 6, 7, 8, 9]
        assert verify(lines).broken is None
        assert await store.applied("second")
        assert await store.load_session("scorer", "r1") == "a session"
        assert await store.load_cursor("notify.chat") is None
        assert await store.load_recording("r1") is None
        await store.close()
        database = Database.open(path)
        assert replay(database.rows(), database.checkpoint()).view == view
        database.close()

    @pytest.mark.proves("fault 33")
    async def test_a_store_of_one_freeze_a_scope_opens_with_its_freezes_in_force(self, tmp_path: Path) -> None:
        """Those that were in force, and not those that they had taken the place of; from now on others stand beside
        them. Sessions, recordings, cursors and the ledger are as they were, and what the ledger says is what is stored.
        """
        path = tmp_path / "haldane.db"
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.executescript(THIRD_SCHEMA.read_text())
        store = SqliteStore.open(path, clock=FakeClock())
        view = await store.load()
        assert (view.store_id, view.revision) == ("2481a382-f244-4f21-a2c4-9d0708e41ef6", 8)
        claimed = partial(freeze, proof=Proof.CLAIMED)  # nobody was verified then
        held = claimed("scorer", mode=Mode.HOLD, since=1001.0, until=4600.0)
        night = claimed(reason="night", since=1002.0)
        assert view.freezes == (night, held)
        assert view.services["scorer"].weights == {"v2": 2500, "v1": 7500}
        assert verify(await store.events()).broken is None
        assert await store.load_session("scorer", "r1") == "a session"
        assert await store.load_recording("r1") == b"a recording"
        assert await store.load_cursor("notify.chat") == 3
        deploy = freeze("scorer", reason="deploy", since=2000.0)
        await store.command(replace(freezing(deploy), id="later"))  # the file has ids of its own
        assert (await store.load()).freezes == (night, held, deploy)
        await store.command(replace(freezing(lift=(held,)), id="last"))
        assert (await store.load()).exclusions == ()
        await store.command(replace(excluding("edge-1"), id="excluded"))
        await store.close()
        database = Database.open(path)
        assert database.view.freezes == (night, deploy)
        assert [each.node for each in database.view.exclusions] == ["edge-1"]
        assert replay(database.rows(), database.checkpoint()).view == database.view
        database.close()

    def test_each_migration_runs_once_and_in_order(self, tmp_path: Path) -> None:
        """From any older schema to the newest, in one transaction, and not again the next time."""
        ran = []

        def step(number: int) -> Callable[[sqlite3.Connection], None]:
            def migrate(db: sqlite3.Connection) -> None:
                ran.append(number)
                db.execute(f"ALTER TABLE services ADD COLUMN added_{number} TEXT DEFAULT 'x'")

            return migrate

        with contextlib.closing(sqlite3.connect(tmp_path / "haldane.db", isolation_level=None)) as db:
            prepare(db)
            migrations = {n: step(n) for n in range(1, FILE_SCHEMA + 3)}
            for _ in range(2):
                prepare(db, newest=FILE_SCHEMA + 2, migrations=migrations)
            assert ran == [FILE_SCHEMA, FILE_SCHEMA + 1]
            assert db.execute("PRAGMA user_version").fetchone() == (FILE_SCHEMA + 2,)

    def test_a_migration_that_fails_leaves_the_old_file(self, tmp_path: Path) -> None:
        """Half a migration is none: the older Haldane can still open it."""

        def fail(db: sqlite3.Connection) -> None:
            db.execute("DROP TABLE services")
            raise sqlite3.OperationalError("disk full")

        with contextlib.closing(sqlite3.connect(tmp_path / "haldane.db", isolation_level=None)) as db:
            prepare(db)
            with pytest.raises(sqlite3.OperationalError):
                prepare(db, newest=FILE_SCHEMA + 1, migrations={FILE_SCHEMA: fail})
            prepare(db)
            assert db.execute("SELECT count(*) FROM services").fetchone() == (0,)
            assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION,)


async def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Reasons and names in the ledger are no one else's business."""
    store = SqliteStore.open(tmp_path / "new" / "haldane.db", clock=FakeClock(), init=True)
    await store.command(change())
    made = [tmp_path / "new", *(tmp_path / "new").iterdir()]
    assert len(made) == 5
    assert not [path.name for path in made if path.stat().st_mode & 0o077]
    await store.close()
