"""On a full disk nothing is written but rollbacks, freezes and what ends them; these are, a thousand times more."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_chain import verify
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import DiskFull, Unusable
from controller.ports.archive import SavedSession
from controller.store.database import Database
from controller.store.reserve import STEP, Reserve
from controller.store.sqlite import SqliteStore
from controller.store.sqlite_file import connect
from controller.store.store_files import StoreFiles
from controller.store.transactions import Transactions
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.full_disk import QuotaConnection, fill

MB = 1024 * 1024
TIMES = 1000


@pytest.fixture
def quota(tmp_path: Path) -> Iterator[QuotaConnection]:
    """A connection to a new store in `tmp_path`, whose quota a test sets."""
    connect(tmp_path / "haldane.db").close()
    opened = sqlite3.connect(tmp_path / "haldane.db", isolation_level=None, factory=QuotaConnection)
    opened.folder = tmp_path
    opened.execute("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


class QuotaReserve(Reserve):
    """A reserve that is subject to the quota of a connection."""

    connection: QuotaConnection

    def fill(self) -> None:
        if self.connection.used() <= self.connection.quota:
            super().fill()


def reserve_of(connection: QuotaConnection, size: int) -> Reserve:
    """A reserve beside the store of that connection."""
    reserve = QuotaReserve(connection.folder / "haldane.db", size)
    reserve.connection = connection
    return reserve


def roll_back_and_freeze(database: Database, times: int) -> None:
    """Roll a service back, freeze it and lift the freeze, each so many times."""
    held = database.view.services["scorer"].revision
    for n in range(times):
        back = state(weight=0, source="x" * 1000)
        held = database.apply(change(expects=held, to=back, act=Act.ROLLBACK), None, 1.0)
        frozen = freeze(since=float(n))
        database.apply(freezing(frozen), None, 1.0)
        database.apply(freezing(lift=(frozen,)), None, 1.0)


def check_refused(database: Database) -> None:
    """Services, advances, sessions and recordings are refused."""
    held = database.view.services["scorer"].revision
    for send in (
        lambda: database.apply(change("other", to=state("other")), None, 1.0),
        lambda: database.apply_all([change("other", to=state("other"))], 1.0),
        lambda: database.apply(change(expects=held, to=state(weight=5000), act=Act.ADVANCE), None, 1.0),
        lambda: database.save_sessions({"scorer": SavedSession("r1", "x")}),
        lambda: database.save_recording("r1", b"x"),
    ):
        with pytest.raises(DiskFull, match="until there is space, only rollbacks, freezes and what ends them"):
            send()


@pytest.mark.proves("fault 15")
def test_rollbacks_and_freezes_are_written_a_thousand_times_in_the_reserve(
    quota: QuotaConnection, tmp_path: Path
) -> None:
    """And whatever else would take that space is refused, until all of it can be set aside again."""
    path = tmp_path / "haldane.db"
    reserve = reserve_of(quota, 16 * MB)
    database = Database(Transactions(quota, StoreFiles(path), reserve))
    database.probe()
    database.apply(change(to=state(weight=500)), None, 1.0)
    quota.quota = quota.used() - 1
    roll_back_and_freeze(database, 1)
    assert reserve.problem
    check_refused(database)
    roll_back_and_freeze(database, TIMES)
    assert verify(database.events("", 0, 10_000)).broken is None
    assert len(database.events("", 0, 10_000)) == 3 * TIMES + 4
    with pytest.raises(DiskFull):
        database.probe()
    quota.quota = float("inf")
    database.apply(change("other", to=state("other")), None, 1.0)


def test_when_the_reserve_is_used_up_the_answer_says_so(quota: QuotaConnection, tmp_path: Path) -> None:
    """It does not say that rollbacks and freezes are stored."""
    path = tmp_path / "haldane.db"
    database = Database(Transactions(quota, StoreFiles(path), reserve_of(quota, STEP)))
    database.probe()
    quota.quota = 0
    with pytest.raises(DiskFull, match="no space is left that is reserved for rollbacks and freezes"):
        database.apply(freezing(freeze()), None, 1.0)


@pytest.mark.parametrize(
    ("essential", "sent"),
    [
        (True, change(act=Act.ROLLBACK)),
        (True, change(act=Act.FORCED_ROLLBACK)),
        (True, change(act=Act.FALLBACK)),
        (True, freezing(freeze())),
        (True, freezing(lift=(freeze(),))),
        (True, Change("1", "1", Act.RECORD, Entry(kind=LedgerKind.ROLLED_BACK, who="haldane", why=""))),
        (False, Change("1", "1", Act.RECORD, Entry(kind=LedgerKind.BLIND, who="haldane", why=""))),
        (False, change(act=Act.ADVANCE)),
        (False, change(act=Act.DELETE)),
        (False, change()),
    ],
)
def test_what_is_essential(essential: bool, sent: Change) -> None:
    """What stops traffic or moves it from harm, and what ends that."""
    assert sent.is_essential is essential


class TestReserve:
    """The file beside the store."""

    def test_it_takes_half_of_what_is_free_at_most(self, small_disk: Path) -> None:
        """And what it has is allocated: a disk that is filled afterwards does not take it."""
        reserve = Reserve(small_disk / "haldane.db", 100 * MB)
        reserve.fill()
        file = small_disk / "haldane.db-reserve"
        assert 400_000 < file.stat().st_size <= MB // 2
        fill(small_disk / "ballast")
        assert reserve.release()
        (small_disk / "written").write_bytes(b"x" * STEP)

    def test_what_was_given_up_comes_back_whole_or_not_at_all(self, small_disk: Path) -> None:
        """Otherwise it would be said to be whole with less in it each time."""
        reserve = Reserve(small_disk / "haldane.db", MB // 2)
        reserve.fill()
        held = (small_disk / "haldane.db-reserve").stat().st_size
        fill(small_disk / "ballast")
        assert not reserve.problem
        assert reserve.release()
        reserve.fill()
        assert reserve.problem
        (small_disk / "ballast").unlink()
        reserve.fill()
        assert not reserve.problem
        assert (small_disk / "haldane.db-reserve").stat().st_size == held

    def test_a_full_disk_is_noticed_before_a_write_fails(self, small_disk: Path) -> None:
        """Also by a controller that starts in what little is left."""
        path = small_disk / "haldane.db"
        Reserve(path, MB // 2).fill()
        fill(small_disk / "ballast")
        reserve = Reserve(path, MB // 2)
        reserve.fill()
        assert "only rollbacks, freezes" in reserve.problem
        (small_disk / "ballast").unlink()
        reserve.fill()
        assert not reserve.problem

    def test_without_one_nothing_is_written(self, tmp_path: Path) -> None:
        """No file, and nothing to give up."""
        reserve = Reserve(tmp_path / "haldane.db", 0)
        reserve.fill()
        assert not reserve.release()
        assert not list(tmp_path.iterdir())


class TestFullDisk:
    """A real file system without a byte left."""

    def test_a_thousand_rollbacks_and_freezes(self, small_disk: Path) -> None:
        """On a file system of 32 MB, half of which was set aside."""
        subprocess.run(["mount", "-o", "remount,size=32m", small_disk], check=True)
        path = small_disk / "haldane.db"
        reserve = Reserve(path, 100 * MB)
        database = Database.open(path, reserve)
        database.probe()
        database.apply(change(to=state(weight=500)), None, 1.0)
        fill(small_disk / "ballast")
        with contextlib.suppress(DiskFull):
            for n in range(TIMES):
                database.apply(change(f"s{n}", to=state(f"s{n}", source="x" * 5000)), None, 1.0)
        roll_back_and_freeze(database, TIMES)
        check_refused(database)
        database.close()

    async def test_a_controller_starts_on_it_with_its_reserve(self, small_disk: Path) -> None:
        """It serves what was stored, and freezes."""
        path = small_disk / "haldane.db"
        store = SqliteStore.open(path, clock=FakeClock(), reserve=MB)
        await store.command(change())
        await store.close()
        fill(small_disk / "ballast")
        store = SqliteStore.open(path, clock=FakeClock(), reserve=MB)
        assert set((await store.load()).services) == {"scorer"}
        await store.command(freezing(freeze()))
        assert "only rollbacks, freezes" in store.health.problem
        (small_disk / "ballast").unlink()
        await store.probe()
        assert not store.health.problem
        await store.close()

    async def test_a_controller_starts_on_it_without_a_reserve(self, small_disk: Path) -> None:
        """It serves what was stored and can write nothing; with space again, it can."""
        path = small_disk / "haldane.db"
        store = SqliteStore.open(path, clock=FakeClock())
        revision = await store.command(change())
        await store.close()
        fill(small_disk / "ballast")
        store = SqliteStore.open(path, clock=FakeClock(), reserve=MB)
        assert "the disk is full" in store.health.problem
        view = await store.load()
        assert (set(view.services), view.revision) == ({"scorer"}, revision)
        with pytest.raises(DiskFull):
            await store.command(freezing(freeze()))
        with pytest.raises(DiskFull):
            await store.campaign("haldane")
        (small_disk / "ballast").unlink()
        await store.command(freezing(freeze()))
        await store.close()

    async def test_a_file_of_another_program_is_refused_on_it(self, small_disk: Path) -> None:
        """A full disk is no reason to open what is refused otherwise."""
        path = small_disk / "haldane.db"
        path.write_bytes(b"no database" * 1000)
        fill(small_disk / "ballast")
        with pytest.raises(Unusable, match="corrupt"):
            SqliteStore.open(path, clock=FakeClock())
