"""Files that are copied over, cut, renamed or removed under a running controller, and a second one on the same file.

Nothing is acknowledged then that a restart would not find. Other processes do it here: SQLite's locks on a file end
with any descriptor of it that is closed in its own process.
"""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from controller.core.model.store_errors import NotWritten, StoreLost, Unusable
from controller.core.model.view import View
from controller.store.sqlite import SqliteStore
from tests.builders import change, freeze, freezing, state
from tests.fakes.clock import FakeClock
from tests.store.processes import child

CHECKPOINT = f"""{sys.executable} -c 'import sqlite3; sqlite3.connect("haldane.db").execute("pragma wal_checkpoint")'"""

OVERWRITTEN: dict[str, tuple[str, str]] = {
    "copied over": ("cp old.db haldane.db", "written to by something else: it "),
    "copied over after a checkpoint": (f"{CHECKPOINT}; cp old.db haldane.db", "written to by something else: it is at"),
    "restored": ("cat old.db > haldane.db; rm haldane.db-wal", "haldane.db-wal was taken away"),
    "cut": ("truncate -s 8192 haldane.db", "written to by something else: it "),
    "emptied": (": > haldane.db", "written to by something else: it cannot be read"),
    "garbage": ("yes | head -c 20000 > haldane.db", "written to by something else: it "),
    "its log cut": ("truncate -s 100 haldane.db-wal", "written to by something else: it "),
    "its log emptied": (": > haldane.db-wal", "written to by something else: it "),
    "its log's index cut": (": > haldane.db-shm", "its -shm file was cut"),
}
"""What is done to the content, and the problem that is found."""

MOVED: dict[str, tuple[str, str, str]] = {
    "renamed": ("mv state/haldane.db .", "haldane.db was taken away", "mv haldane.db state"),
    "replaced": (
        "mv state/haldane.db .; cp state/old.db state/haldane.db",
        "haldane.db was replaced by another file",
        "mv haldane.db state",
    ),
    "its log renamed": ("mv state/haldane.db-wal .", "haldane.db-wal was taken away", "mv haldane.db-wal state"),
    "its index renamed": ("mv state/haldane.db-shm .", "haldane.db-shm was taken away", "mv haldane.db-shm state"),
    "its folder renamed": ("mv state away", "haldane.db was taken away", "mv away state"),
}
"""What is done to the names, the problem that is found, and what puts the files back."""

HARMLESS = {
    "a reader": "import sqlite3; sqlite3.connect('haldane.db').execute('select count(*) from ledger').fetchone()",
    "a backup": "import sqlite3; sqlite3.connect('haldane.db').backup(sqlite3.connect('copy.db'))",
    "a checkpoint": "import sqlite3; sqlite3.connect('haldane.db').execute('pragma wal_checkpoint(truncate)')",
    "a hard link": "import os; os.link('haldane.db', 'other.db')",
    "no lock file": "import os; os.unlink('haldane.db.lock')",
}
"""What others may do to the files."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    return made


async def frozen(folder: Path) -> SqliteStore:
    """A store with two freezes, one of them only in its log. In `old.db` it is as before its last service and both."""
    store = SqliteStore.open(folder / "haldane.db", clock=FakeClock())
    await store.command(change())
    with contextlib.closing(sqlite3.connect(folder / "haldane.db")) as db:
        db.execute("VACUUM INTO ?", (str(folder / "old.db"),))
    await store.command(change("other", to=state("other", source="x" * 100_000)))
    await store.command(freezing(freeze()))
    with contextlib.closing(sqlite3.connect(folder / "haldane.db")) as db:
        db.execute("PRAGMA wal_checkpoint")
    await store.command(freezing(freeze(reason="another")))
    return store


def do(folder: Path, script: str) -> None:
    """Run a shell's script in that folder."""
    subprocess.run(["bash", "-c", script], cwd=folder, check=True)


def do_in_python(folder: Path, script: str) -> None:
    """Run a Python script in that folder."""
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)


async def assert_refused(store: SqliteStore, problem: str) -> View:
    """Reads and writes fail and name the problem, also the second time; the view goes on being served."""
    served = store.newest()
    for _ in range(2):
        with pytest.raises(StoreLost, match=problem):
            await store.load()
        with pytest.raises(NotWritten, match=problem):
            await store.command(freezing(freeze("scorer")))
        with pytest.raises(StoreLost, match=problem):
            await store.events()
        assert re.search(problem, store.health.problem)
    assert store.newest() == served
    return served


@pytest.mark.proves("fault 43", "track-record 78")
@pytest.mark.parametrize(("script", "problem"), OVERWRITTEN.values(), ids=OVERWRITTEN)
async def test_content_that_something_else_wrote_is_noticed_at_the_next_read_or_write(
    folder: Path, script: str, problem: str
) -> None:
    """And stays as it is when the store is closed: SQLite would write its log into what is there now."""
    store = await frozen(folder)
    do(folder, script)
    before = (folder / "haldane.db").read_bytes()
    served = await assert_refused(store, problem)
    assert len(served.freezes) == 2
    await store.close()
    if "-wal" not in problem:
        assert (folder / "haldane.db").read_bytes() == before


@pytest.mark.parametrize(("script", "problem", "back"), MOVED.values(), ids=MOVED)
async def test_a_file_that_was_moved_is_noticed_and_so_is_its_return(
    folder: Path, script: str, problem: str, back: str
) -> None:
    """Put back, it is written to again; nothing that was acknowledged is missing after a restart."""
    store = await frozen(folder)
    do(folder.parent, script)
    await assert_refused(store, problem)
    do(folder.parent, back)
    assert (await store.load()).revision == 4
    assert await store.command(freezing(freeze("scorer"))) == 5
    assert not store.health.problem
    await store.close()
    again = SqliteStore.open(folder / "haldane.db", clock=FakeClock())
    assert len((await again.load()).freezes) == 3
    await again.close()


@pytest.mark.proves("track-record 79")
@pytest.mark.parametrize("gone", ["-wal", "-shm", "-*"])
async def test_what_was_only_in_a_log_that_is_gone_is_saved_into_the_file(folder: Path, gone: str) -> None:
    """The next read or write saves it, so that a restart, also by kill -9, finds every acknowledged freeze."""
    store = await frozen(folder)
    do(folder, f"rm haldane.db{gone}")
    await assert_refused(store, "was taken away.* Everything acknowledged is in .*haldane.db$")
    do(folder, "mkdir copy; cp haldane.db* copy")
    again = SqliteStore.open(folder / "copy" / "haldane.db", clock=FakeClock())
    assert len((await again.load()).freezes) == 2
    await again.close()
    await store.close()
    again = SqliteStore.open(folder / "haldane.db", clock=FakeClock())
    assert len((await again.load()).freezes) == 2
    await again.close()


@pytest.mark.parametrize("script", HARMLESS.values(), ids=HARMLESS)
async def test_what_changes_nothing_that_a_restart_would_read_is_no_problem(folder: Path, script: str) -> None:
    """A reader, a backup, a checkpoint by hand."""
    store = await frozen(folder)
    do_in_python(folder, script)
    assert (await store.load()).revision == 4
    assert await store.command(freezing(freeze("scorer"))) == 5
    assert not store.health.problem
    await store.close()
    again = SqliteStore.open(folder / "haldane.db", clock=FakeClock())
    assert len((await again.load()).freezes) == 3
    await again.close()


async def test_a_change_by_another_program_is_not_built_upon(folder: Path) -> None:
    """Someone lifts the freeze by SQL: what is served and what a restart would serve are no longer the same."""
    store = await frozen(folder)
    do_in_python(folder, "import sqlite3; sqlite3.connect('haldane.db').executescript('delete from freezes')")
    await assert_refused(store, "its content is not what is served")
    await store.close()


async def test_a_link_that_leads_elsewhere_is_another_file(folder: Path) -> None:
    """The store is opened through a symbolic link; its log and its lock are beside the file itself."""
    do(folder, "mkdir real; ln -s real/haldane.db haldane.db")
    store = await frozen(folder)
    assert sorted(os.listdir(folder / "real")) == ["haldane.db", "haldane.db-shm", "haldane.db-wal", "haldane.db.lock"]
    do(folder, "ln -sfn old.db haldane.db")
    await assert_refused(store, "haldane.db was replaced by another file")
    do(folder, "ln -sfn real/haldane.db haldane.db")
    assert (await store.load()).revision == 4
    await store.close()


class TestSecondController:
    """Two controllers on one file would serve two truths: also where the second one knows it by another name."""

    @pytest.mark.proves("fault 44")
    @pytest.mark.parametrize(
        "script",
        [
            "ln -s haldane.db other.db",
            "ln haldane.db other.db",
            "ln haldane.db ../other.db; cd ..; mv other.db state",
            "rm haldane.db.lock; ln -s haldane.db other.db",
            "rm haldane.db.lock; ln haldane.db other.db",
        ],
    )
    async def test_it_is_refused_whatever_the_name(self, folder: Path, script: str) -> None:
        """By a link of either kind, and after the lock file was deleted; the first goes on undisturbed."""
        with child("write", str(folder / "haldane.db"), "1") as first:
            first.next()
            assert "acknowledged" in first.next()
            do(folder, script)
            with pytest.raises(Unusable, match="in use by another controller"):
                SqliteStore.open(folder / "other.db", clock=FakeClock())
            acknowledged = [first.next() for _ in range(20)]
            assert not [line for line in acknowledged if line.get("refused") == "NotWritten"]
            first.kill()
        store = SqliteStore.open(folder / "haldane.db", clock=FakeClock())
        assert (await store.load()).revision >= max(line.get("acknowledged", 0) for line in acknowledged)
        await store.close()
