"""The files under an open store: whether a restart would still read from them what this process wrote.

A file can be renamed, deleted, copied over or cut while it is open. SQLite notices none of it: it goes on with the
inodes that it has, its memory of their pages, and the log's index.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from controller.core.model.store_errors import Unusable
from controller.store.sqlite_file import NEEDS, decode

LOCK_BYTE = 1 << 62
"""The byte of the file that the lock is on: beyond every file's end, and far from the bytes that SQLite locks."""

MAIN, LOG, INDEX = "", "-wal", "-shm"
"""What SQLite adds to the file's name for each of its files."""

GO_ON = (
    "Proxies are served what was decided last. Put the files back as they were, or restart the controller to go on "
    "with what is there"
)


class FileState(NamedTuple):
    """A file as its name leads to it now. `changed` is the time of its last write, in nanoseconds."""

    device: int
    inode: int
    size: int
    changed: int

    @property
    def identity(self) -> tuple[int, int]:
        """Which file it is, whatever its name."""
        return self.device, self.inode


States = dict[str, FileState | None]

Difference = Callable[[sqlite3.Connection], str]
"""How what a connection reads differs from what is served; "" if it does not."""


class StoreFiles:
    """The file, its write-ahead log and the log's index, locked for this process until `close`.

    The lock is on the file itself, so that another name of it (a hard link) or a lock file that was deleted lets no
    second process in. It is lost when any other descriptor of the file is closed in this process, as are SQLite's own
    locks: nothing else here may open the file but through SQLite.
    """

    def __init__(self, path: Path) -> None:
        """Lock the file, made if there is none. `Unusable` if it cannot be opened, or another process has it."""
        self.path = path
        self._real = path.resolve()
        try:
            self._descriptor = os.open(self._real, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unusable(f"{path} cannot be opened: {error.strerror}. {NEEDS}") from error
        if not self._lock():
            os.close(self._descriptor)
            raise Unusable(
                f"{path} is in use by another controller, which has it under another name: stop that one, or give this "
                "one its own file with HALDANE_STORE=sqlite:PATH"
            )
        self._known = self._states()
        self._judged: tuple[States, str] = self._known, ""
        self.overwritten = False
        """Whether `problem` has found other content in the files, so that nothing more may be written to them."""

    def close(self) -> None:
        """Release the lock. SQLite's connection must be closed before."""
        os.close(self._descriptor)

    def note_opened(self) -> None:
        """SQLite has just opened the files."""
        self._known = self._states()

    def note(self) -> bool:
        """The files are as this process has just written them; False if some are not those that it has open."""
        now = self._states()
        if any(known and _identity(now[name]) != known.identity for name, known in self._known.items()):
            return False
        self._known = now
        return True

    def note_main(self) -> None:
        """This process has just written the file itself, and no other one."""
        self._known[MAIN] = self._states()[MAIN]

    def problem(self, difference: Difference) -> str:
        """Why a restart would not find what this process has; empty if it would.

        Where something else has written to the files, a copy of them is opened as a restart would open them, and
        `difference` says how it differs from what is served, or "".
        """
        if not self._lock():
            return f"{self.path} is in use by another controller. {GO_ON}"
        now = self._states()
        if now == self._known:
            return ""
        if now != self._judged[0]:
            self._judged = now, self._find_problem(now, difference)
        if self._judged[1]:
            return f"{self._judged[1]}. {GO_ON}"
        self._known = now
        return ""

    @property
    def has_lost_log(self) -> bool:
        """Whether the log or its index is gone from beside the file, which itself is as this process wrote it."""
        now = self._states()
        moved = (_identity(now[name]) != _identity(self._known[name]) for name in (LOG, INDEX))
        return any(moved) and now[MAIN] == self._known[MAIN]

    def _find_problem(self, now: States, difference: Difference) -> str:
        self.overwritten = False
        for name, known in self._known.items():
            if known and now[name] is None:
                return f"{self.path}{name} was taken away"
            if known and _identity(now[name]) != known.identity:
                return f"{self.path}{name} was replaced by another file"
        index, was = now[INDEX], self._known[INDEX]
        if index and was and index.size < was.size:
            found = "its -shm file was cut"
        else:
            found = self._read_again(difference, with_log=now[MAIN] == self._known[MAIN])
        self.overwritten = bool(found)
        return found and f"{self.path} was written to by something else: {found}"

    def _read_again(self, difference: Difference, *, with_log: bool) -> str:
        """How what a copy of the files holds differs from what is served.

        Where the file itself was written to, it must hold everything without the log: SQLite counts on what it has
        copied from the log, and starts the log over.
        """
        try:
            with tempfile.TemporaryDirectory(prefix="haldane-") as folder:
                copy = Path(folder) / "copy.db"
                with open(self._descriptor, "rb", closefd=False) as main, copy.open("wb") as out:
                    main.seek(0)
                    shutil.copyfileobj(main, out)
                if with_log:
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(self._beside(LOG), copy.with_name(copy.name + LOG))
                with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
                    db.text_factory = decode
                    damage = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
                    return difference(db) if damage == "ok" else f"it is corrupt: {damage.splitlines()[-1]}"
        except (OSError, sqlite3.Error) as error:
            return f"it cannot be read any longer: {error}"

    def _lock(self) -> bool:
        """Take the lock, or take it once more: whether this process has it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, LOCK_BYTE)
        except OSError:
            return False
        return True

    def _states(self) -> States:
        """Of the log's index only which file it is, and its size: it is written to in memory."""
        index = _state(self._beside(INDEX))
        return {
            MAIN: _state(self.path),
            LOG: _state(self._beside(LOG)),
            INDEX: index and index._replace(changed=0),
        }

    def _beside(self, name: str) -> Path:
        return self._real.with_name(self._real.name + name)


def _state(path: Path) -> FileState | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _identity(state: FileState | None) -> tuple[int, int] | None:
    return state and state.identity
