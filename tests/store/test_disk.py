"""A disk that fails: no half change, no false answer, serving goes on, and writing goes on as soon as it can."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.core.model.freeze import Act
from controller.core.model.ledger_chain import verify
from controller.core.model.store_errors import DiskFull, Frozen, NotWritten, StoreLost, Unusable
from controller.ports.archive import SavedSession
from controller.store.database import Database
from controller.store.sqlite import SqliteStore
from controller.store.sqlite_file import WAL_LIMIT
from controller.store.store_files import StoreFiles
from controller.store.transactions import Transactions
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.full_disk import fill
from tests.store.processes import child


class TestFull:
    """No space left."""

    @pytest.mark.proves("fault 15")
    async def test_a_full_disk_refuses_changes_and_serving_goes_on(self, small_disk: Path) -> None:
        """Each refused change surely did nothing; a freeze that is not durable is not answered as set.

        With space again, everything goes on, and a restart finds all that was acknowledged and nothing else.
        """
        path = small_disk / "haldane.db"
        store = SqliteStore.open(path, clock=FakeClock())
        revision = await store.command(change())
        before = await store.load()
        ballast = small_disk / "ballast"
        fill(ballast)
        for sent in (change(expects=revision, to=state(source="x" * 8000)), freezing(freeze())):
            with pytest.raises(NotWritten, match="full"):
                await store.command(sent)
            assert await store.applied(sent.id) is None
        await store.save_sessions({"scorer": SavedSession("r1", "x" * 100_000)})
        assert await store.load() == before
        assert await anext(aiter(store.watch(0))) == before
        assert len(await store.events()) == 1
        ballast.unlink()
        last = await store.command(freezing(freeze()))
        with pytest.raises(Frozen):
            await store.command(change(expects=revision, act=Act.ADVANCE))
        after = await store.load()
        assert (last, after.revision) == (revision + 1, revision + 1)
        await store.close()
        again = SqliteStore.open(path, clock=FakeClock())
        assert await again.load() == after
        assert verify(await again.events()).broken is None
        await again.close()

    async def test_a_controller_killed_on_a_full_disk_comes_back_with_what_was_acknowledged(
        self, small_disk: Path
    ) -> None:
        """Writes until the disk is full, and on; kill -9; space; restart."""
        path = small_disk / "haldane.db"
        (small_disk / "ballast").write_bytes(b"\0" * 300_000)
        with child("write", str(path), "1") as writer:
            said = [writer.next()]
            while "refused" not in said[-1]:
                said.append(writer.next())
            said += [writer.next() for _ in range(20)]
            said += writer.kill()
        assert {line["refused"] for line in said if "refused" in line} <= {"DiskFull", "Frozen", "Conflict"}
        (small_disk / "ballast").unlink()
        acknowledged = max(line["acknowledged"] for line in said if "acknowledged" in line)
        store = SqliteStore.open(path, clock=FakeClock())
        assert (await store.load()).revision >= acknowledged
        assert verify(await store.events()).broken is None
        await store.close()

    async def test_a_new_store_on_a_full_disk_is_refused(self, small_disk: Path) -> None:
        """With what it needs; and it leaves nothing behind that would be in the way later."""
        fill(small_disk / "ballast")
        with pytest.raises(Unusable, match="disk is full"):
            SqliteStore.open(small_disk / "haldane.db", clock=FakeClock())
        (small_disk / "ballast").unlink()
        store = SqliteStore.open(small_disk / "haldane.db", clock=FakeClock())
        assert await store.command(change()) == 1
        await store.close()


async def test_a_file_that_may_not_grow_is_like_a_full_disk(tmp_path: Path) -> None:
    """A limit on the size of files (as `ulimit -f` sets) refuses changes while it holds, and no longer.

    A freeze is written: the log begins anew in the space that it has.
    """
    with child("starve", str(tmp_path / "haldane.db")) as starved:
        told = starved.next()
    assert told["refused"] == ["DiskFull"] * 3
    assert told["served"] == [told["acknowledged"]] * 3
    store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock())
    assert told["frozen"] == told["acknowledged"] + 1
    assert (await store.load()).revision == told["afterwards"] == told["acknowledged"] + 2
    await store.close()


class FailingConnection(sqlite3.Connection):
    """A connection whose next statements of some kind fail as the disk would make them fail."""

    failing: dict[str, list[str]]

    def fail(self, statement: str, *codes: str) -> None:
        """The next statements that begin so fail with these codes, one after the other."""
        self.failing = {statement: list(codes)}

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        for begin, codes in getattr(self, "failing", {}).items():
            if statement.startswith(begin) and codes:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorname = codes.pop(0)
                raise error
        return super().execute(statement, *values)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[FailingConnection]:
    Database.open(tmp_path / "haldane.db").close()
    opened = sqlite3.connect(tmp_path / "haldane.db", isolation_level=None, factory=FailingConnection)
    yield opened
    opened.close()


SYNC = "SQLITE_IOERR_FSYNC"


class TestDoubt:
    """When it is not sure whether a commit came through, no one is told that it did, or that it did not."""

    @pytest.mark.parametrize(
        ("statement", "codes", "error"),
        [
            ("BEGIN", ["SQLITE_BUSY"], NotWritten),
            ("BEGIN", [SYNC], NotWritten),
            ("INSERT INTO ledger", ["SQLITE_FULL"], DiskFull),
            ("INSERT INTO ledger", ["SQLITE_CORRUPT"], NotWritten),
            ("COMMIT", ["SQLITE_FULL"], DiskFull),
            ("COMMIT", ["SQLITE_IOERR_WRITE"], DiskFull),
            ("COMMIT", [SYNC], NotWritten),
            ("COMMIT", [SYNC, SYNC], StoreLost),
            ("COMMIT", [SYNC, "SQLITE_FULL"], StoreLost),
        ],
    )
    def test_the_error_is_the_true_one(
        self,
        connection: FailingConnection,
        tmp_path: Path,
        statement: str,
        codes: list[str],
        error: type[StoreLost],
    ) -> None:
        """Before COMMIT nothing was written. A sync that failed is undone by writing over it; if that fails too,
        it stays open, and says so."""
        database = Database(Transactions(connection, StoreFiles(tmp_path / "haldane.db")))
        revision = database.apply(change(), None, 1.0)
        before = database.view
        connection.fail(statement, *codes)
        sent = change(expects=revision, to=state(source="new"))
        with pytest.raises(error) as told:
            database.apply(sent, None, 1.0)
        assert type(told.value) is error
        assert database.view == before
        assert database.applied(sent.id) is None
        assert database.apply(sent, None, 1.0) == revision + 1

    @pytest.mark.proves("fault 10")
    def test_while_in_doubt_nothing_is_claimed(self, connection: FailingConnection, tmp_path: Path) -> None:
        """Neither that a change was applied nor that it was not, and nothing new is accepted."""
        database = Database(Transactions(connection, StoreFiles(tmp_path / "haldane.db")))
        connection.fail("COMMIT", *[SYNC] * 6)
        sent = change()
        for ask in (
            lambda: database.apply(sent, None, 1.0),
            lambda: database.applied(sent.id),
            database.check,
            lambda: database.events("", 0, 10),
            lambda: database.apply(change("other"), None, 1.0),
        ):
            with pytest.raises(StoreLost) as told:
                ask()
            assert type(told.value) is StoreLost
        assert database.applied(sent.id) is None
        assert database.apply(sent, None, 1.0) == 1


@pytest.mark.proves("fault 7")
async def test_a_reader_who_blocks_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    """Someone holds the file by hand: the change waits a moment, is refused, and works once the file is free."""
    path = tmp_path / "haldane.db"
    store = SqliteStore.open(path, clock=FakeClock())
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.command(change()))
    with pytest.raises(NotWritten, match="locked"):
        await waiting
    holder.execute("ROLLBACK")
    holder.close()
    assert await store.command(change()) == 1
    await store.close()


async def test_a_reader_that_stays_open_costs_disk_space_only_while_it_reads(tmp_path: Path) -> None:
    """The write-ahead log grows while a reader's transaction is open, and is cut back once it has ended."""
    path = tmp_path / "haldane.db"
    log = path.with_name("haldane.db-wal")
    store = SqliteStore.open(path, clock=FakeClock())
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
    for _ in range(20):
        await store.save_sessions({"scorer": SavedSession("r1", "x" * 500_000)})
    assert log.stat().st_size > 2 * WAL_LIMIT
    reader.execute("COMMIT")
    for _ in range(2):
        await store.save_sessions({"scorer": SavedSession("r1", "x")})
    assert log.stat().st_size <= WAL_LIMIT
    reader.close()
    await store.close()
