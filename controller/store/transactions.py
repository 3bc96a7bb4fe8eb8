"""Transactions on a SQLite connection that are honest about a failing disk: surely not written, or perhaps."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from controller.core.model.store_errors import DiskFull, NotWritten, StoreLost
from controller.store.reserve import Reserve

T = TypeVar("T")

INCOMPLETE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""Errors of COMMIT that leave its last frame in the write-ahead log cut off, so that nothing can bring it back."""

NO_SPACE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"})
"""Errors of a full disk, an exhausted quota, or a limit on the size of files."""


class Transactions:
    """Reads and writes on one connection. Knows after an error whether something was perhaps written."""

    def __init__(self, connection: sqlite3.Connection, path: Path, reserve: Reserve | None = None) -> None:
        self._db = connection
        self._path = path
        self._reserve = reserve or Reserve(path, 0)
        self._file = _identity(path)
        self._doubt = False

    def close(self) -> None:
        """Give the file back; what was committed is in it."""
        self._db.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Read. `StoreLost` if the file cannot be read, or while it is in doubt what is stored."""
        self.resolve_doubt()
        try:
            yield self._db
        except sqlite3.Error as error:
            raise StoreLost(f"the store's file does not answer: {error}") from error

    def write(self, work: Callable[[sqlite3.Connection], T], *, essential: bool = False) -> T:
        """Do all of the work or nothing. What is `essential` is done on a full disk too, in the reserved space.

        `NotWritten` (`DiskFull`): surely nothing. `StoreLost`: perhaps it is found after a crash.
        """
        self.resolve_doubt()
        if not essential:
            self._check_space()
        attempts = self._attempts(essential)
        while True:
            try:
                return self._commit(work)
            except DiskFull as full:
                if not next(attempts, False):
                    self._reserve.set_low()
                    raise DiskFull(self.problem or str(full)) from full
            except NotWritten:
                raise
            except StoreLost as lost:
                self.resolve_doubt()
                raise NotWritten(str(lost)) from lost

    def write_unsynced(self, statement: str, *values: object) -> None:
        """Execute one statement that writes what may be lost. It is not synced by itself: the next change does that.

        `StoreLost` if the file cannot be written, or while it is in doubt what is stored.
        """
        self._check_space()
        with self.read() as db:
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                db.execute(statement, values)
            finally:
                db.execute("PRAGMA synchronous = FULL")

    @property
    def problem(self) -> str:
        """Why only what is essential is written now; empty while everything is."""
        return self._reserve.problem

    def fill_reserve(self) -> None:
        """Set aside what is missing of the reserve. Raises nothing."""
        self._reserve.fill()

    def _check_space(self) -> None:
        """Raise `DiskFull` while what is free is only for what is essential."""
        if self.problem:
            self.fill_reserve()
        if self.problem:
            raise DiskFull(self.problem)

    def _attempts(self, essential: bool) -> Iterator[bool]:
        """Make room for an essential write, a little more each time, as long as there is a way."""
        if not essential:
            return
        self._checkpoint()
        yield True
        while self._reserve.release():
            self._checkpoint()
            yield True

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the file, so that the log begins anew in the space that it has."""
        with contextlib.suppress(sqlite3.Error):  # the file may have to grow for it
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def resolve_doubt(self) -> None:
        """Settle a doubtful commit by overwriting its frames in the WAL.

        `StoreLost` while a commit that failed could still be found after a crash.

        When the log was written but not synced, no reader sees its last frames, yet recovery after a crash would.
        Writing anything else overwrites them.
        """
        if self._doubt:
            self._commit(lambda db: db.execute("UPDATE store SET epoch = epoch"))
            self._doubt = False

    def _commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if _identity(self._path) != self._file:
            raise NotWritten(f"{self._path} was taken away or replaced: put it back, or restart the controller")
        committing = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work(self._db)
            committing = True
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()
            if not isinstance(error, sqlite3.Error):
                raise
            code = getattr(error, "sqlite_errorname", "")
            self._doubt = self._doubt or (committing and code not in INCOMPLETE)
            if self._doubt:
                raise StoreLost(f"the disk refused it: {error}") from error
            raise (DiskFull if lacks_space(error) else NotWritten)(f"the disk refused it: {error}") from error
        return result


def lacks_space(error: BaseException | None) -> bool:
    """Whether that error of SQLite is one of a full disk."""
    return getattr(error, "sqlite_errorname", "") in NO_SPACE


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file the name stands for now: a file that was deleted still takes writes, and forgets them."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
