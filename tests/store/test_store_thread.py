"""A disk that hangs: everybody is answered, with the truth; and what is urgent goes first when the disk is slow."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.store_errors import Frozen, NotWritten, StoreLost, Unusable
from controller.ports.archive import SavedSession
from controller.runtime.operations import Operations
from controller.store.database import Database
from controller.store.file_lock import FileLock
from controller.store.sqlite import SqliteStore
from controller.store.store_thread import StoreThread
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.support.waiting import wait_until

pytestmark = pytest.mark.proves("track-record 36")

SHORT = 0.2
"""Seconds of patience where a test waits for its end."""
LONG = 60.0


class Disk:
    """Something that takes as long as the test wants."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.free = threading.Event()

    def hang(self) -> None:
        self.asked.set()
        self.free.wait(LONG)


class SlowDatabase(Database):
    """A database on such a disk: its changes hang."""

    disk: Disk

    def apply(self, change: Change, token: int | None, at: float) -> int:
        """Apply it once the disk is free."""
        self.disk.hang()
        return super().apply(change, token, at)


def slow_store(path: Path, disk: Disk) -> SqliteStore:
    """A store whose disk hangs when something is changed."""
    lock, database = FileLock.take(path), SlowDatabase.open(path)
    database.disk = disk
    return SqliteStore(database, lock, FakeClock(), path.with_name("exports"), 1000, SHORT)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    yield made
    made.free.set()


async def hanging(thread: StoreThread, disk: Disk) -> "asyncio.Task[None]":
    """A job that has begun and does not end."""
    job = asyncio.create_task(thread.do(disk.hang))
    await asyncio.to_thread(disk.asked.wait, LONG)
    return job


@pytest.mark.proves("track-record 37")
class TestOrder:
    """One job after the other."""

    async def test_what_is_urgent_goes_before_all_that_waits(self, disk: Disk) -> None:
        """It waits for the job in hand alone; the others keep their order."""
        thread, done = StoreThread(LONG), list[str]()
        hung = await hanging(thread, disk)
        waiting = [asyncio.create_task(thread.do(partial(done.append, n))) for n in ("first", "second")]
        waiting += [asyncio.create_task(thread.do(partial(done.append, n), urgent=True)) for n in ("back", "freeze")]
        await asyncio.sleep(0)
        disk.free.set()
        await asyncio.gather(hung, *waiting)
        assert done == ["back", "freeze", "first", "second"]
        thread.end()

    @pytest.mark.parametrize(
        "sent",
        [
            change("other", act=Act.ROLLBACK, to=state("other")),
            change("other", act=Act.FORCED_ROLLBACK, to=state("other")),
            change("other", act=Act.FALLBACK, to=state("other")),
            freezing(freeze()),
        ],
        ids=lambda sent: sent.act if not sent.freeze else "freeze",
    )
    async def test_no_rollback_and_no_freeze_waits_for_sessions_and_events(
        self, tmp_path: Path, disk: Disk, sent: object
    ) -> None:
        """However much is to be saved and read: with the disk free again they are durable first."""
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock())
        ended: list[str] = []
        hung = await hanging(store._thread, disk)
        crowd = [store.save_sessions({"scorer": SavedSession("r1", "x" * 1000)}) for _ in range(20)]
        crowd += [store.events() for _ in range(20)]  # type: ignore[misc]
        crowd += [store.command(change(act=Act.ADVANCE))]  # type: ignore[list-item]
        waiting = [asyncio.create_task(noting(ended, "crowd", each)) for each in crowd]
        await asyncio.sleep(0)
        urgent = asyncio.create_task(noting(ended, "urgent", store.command(sent)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        disk.free.set()
        await asyncio.gather(hung, urgent, *waiting, return_exceptions=True)
        assert ended[0] == "urgent"
        assert len(ended) == 1 + len(crowd)
        await store.close()

    async def test_what_an_operators_act_begins_with_waits_for_nothing_either(self, tmp_path: Path, disk: Disk) -> None:
        """It reads the newest state and looks for its request id: before all that is to be saved and read."""
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock())
        ended: list[str] = []
        hung = await hanging(store._thread, disk)
        crowd = [asyncio.create_task(noting(ended, "crowd", store.events())) for _ in range(20)]
        await asyncio.sleep(0)
        reads = [asyncio.create_task(noting(ended, "act", read)) for read in (store.load(), store.applied("an id"))]
        await asyncio.sleep(0)
        disk.free.set()
        await asyncio.gather(hung, *crowd, *reads)
        assert ended[:2] == ["act", "act"]
        await store.close()

    @pytest.mark.proves("fault 27", "track-record 70")
    async def test_an_operators_freeze_goes_before_the_advance_that_waits(self, tmp_path: Path, disk: Disk) -> None:
        """The disk is slow, automation's step waits for it, then someone freezes: the step is not taken."""
        store = SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock(), patience=LONG)
        term = await store.campaign("haldane")
        revision = await store.command(change(to=state(weight=500)))
        hung = await hanging(store._thread, disk)
        step = change(expects=revision, act=Act.ADVANCE, to=state(weight=2500))
        stepping = asyncio.create_task(store.commit(step, term.token))
        await asyncio.sleep(0)
        operations = Operations(store, FakeClock())
        asked = asyncio.create_task(
            operations.freeze(["scorer"], who=Actor("ada"), reason="incident 42", request_id="f-1")
        )
        await wait_until(lambda: store._thread._jobs.qsize() == 2)
        disk.free.set()
        await asyncio.gather(hung, asked)
        with pytest.raises(Frozen, match=r"by ada \(unverified\): incident 42"):
            await stepping
        assert (await store.load()).services["scorer"].weights["v2"] == 500
        await store.close()


async def noting(ended: list[str], name: str, work: object) -> None:
    """Note that it has ended, however."""
    try:
        await work  # type: ignore[misc]
    except Frozen:
        pass
    finally:
        ended.append(name)


class TestHanging:
    """The disk does not answer."""

    @pytest.mark.proves("fault 8")
    async def test_what_has_begun_is_perhaps_done_and_what_waits_is_surely_not(self, disk: Disk) -> None:
        """Both are answered within the patience, whoever comes later at once; afterwards it is as it was said."""
        thread, done = StoreThread(SHORT), list[str]()
        hung = await hanging(thread, disk)
        waiting = asyncio.create_task(thread.do(lambda: done.append("waited")))
        for asked, error in ((hung, StoreLost), (waiting, NotWritten)):
            with pytest.raises(StoreLost, match="has not answered") as told:
                await asked
            assert type(told.value) is error
        with pytest.raises(NotWritten, match="not even tried"):
            await thread.do(lambda: done.append("late"), urgent=True)
        disk.free.set()
        await eventually(thread)
        assert done == []
        thread.end()

    async def test_who_goes_away_takes_along_what_has_not_begun(self, disk: Disk) -> None:
        """And what has begun is done all the same."""
        thread, done = StoreThread(LONG), list[str]()
        hung = await hanging(thread, disk)
        waiting = asyncio.create_task(thread.do(lambda: done.append("waited")))
        await asyncio.sleep(0)
        for job in (waiting, hung):
            job.cancel()
            with pytest.raises(asyncio.CancelledError):
                await job
        disk.free.set()
        await thread.do(lambda: done.append("next"))
        assert done == ["next"]
        thread.end()

    @pytest.mark.proves("fault 10")
    async def test_a_change_that_was_in_hand_comes_true_later_and_its_id_tells(
        self, tmp_path: Path, disk: Disk
    ) -> None:
        """The freeze that hung is there once the disk is back, is seen by who watches, and a retry is only answered.

        The one that came meanwhile was refused, and is not.
        """
        store = slow_store(tmp_path / "haldane.db", disk)
        sent, meanwhile = freezing(freeze("scorer")), freezing(freeze("other"))
        with pytest.raises(StoreLost, match="perhaps") as told:
            await store.command(sent)
        assert type(told.value) is StoreLost
        for ask in (store.command(meanwhile), store.applied(sent.id), store.load(), store.events()):
            with pytest.raises(StoreLost):
                await ask
        disk.free.set()
        view = await anext(aiter(store.watch(0)))
        assert [f.scope for f in view.freezes] == ["scorer"]
        await eventually(store._thread)
        applied = await store.applied(sent.id)
        assert applied is not None
        assert await store.command(sent) == applied.revision == view.revision
        assert await store.applied(meanwhile.id) is None
        await store.close()

    async def test_a_store_whose_disk_hangs_can_be_left(self, tmp_path: Path, disk: Disk) -> None:
        """Closing ends too. The file stays locked, since a write may still come: no one else may have it."""
        store = slow_store(tmp_path / "haldane.db", disk)
        with pytest.raises(StoreLost):
            await store.command(change())
        await store.close()
        with pytest.raises(Unusable, match="in use"):
            SqliteStore.open(tmp_path / "haldane.db", clock=FakeClock())
        disk.free.set()
        await eventually(store._thread)
        await store._thread.do(store._database.close)
        store._thread.end()


async def eventually(thread: StoreThread) -> None:
    """Until the thread takes work again."""
    while True:
        try:
            return await thread.do(lambda: None)
        except StoreLost:
            await asyncio.sleep(0.01)
