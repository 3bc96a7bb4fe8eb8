"""Transactions on a SQLite connection that are honest about a failing disk: surely not written, or perhaps."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from controller.core.model.store_errors import NotWritten, StoreLost

T = TypeVar("T")

INCOMPLETE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""Errors of COMMIT that leave its last frame in the write-ahead log cut off, so that nothing can bring it back."""


class Transactions:
    """Reads and writes on one connection. Knows after an error whether something was perhaps written."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self._path = path
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

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do all of the work or nothing.

        `NotWritten`: surely nothing. `StoreLost`: perhaps it is found after a crash.
        """
        self.resolve_doubt()
        try:
            return self._commit(work)
        except NotWritten:
            raise
        except StoreLost as lost:
            self.resolve_doubt()
            raise NotWritten(str(lost)) from lost

    def write_unsynced(self, statement: str, *values: object) -> None:
        """Execute one statement that writes what may be lost. It is not synced by itself: the next change does that.

        `StoreLost` if the file cannot be written, or while it is in doubt what is stored.
        """
        with self.read() as db:
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                db.execute(statement, values)
            finally:
                db.execute("PRAGMA synchronous = FULL")

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
            kind, outcome = (StoreLost, "perhaps written") if self._doubt else (NotWritten, "nothing changed")
            raise kind(f"the disk refused it, {outcome}: {error}") from error
        return result


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file the name stands for now: a file that was deleted still takes writes, and forgets them."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
