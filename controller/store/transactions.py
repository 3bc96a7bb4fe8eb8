"""Transactions on a SQLite connection that are honest about a failing disk: surely not written, or perhaps."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import TypeVar

from controller.core.model.store_errors import DiskFull, NotWritten, StoreLost
from controller.store.reserve import Reserve
from controller.store.store_files import GO_ON, Difference, StoreFiles

T = TypeVar("T")

INCOMPLETE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""Errors of COMMIT that leave its last frame in the write-ahead log cut off, so that nothing can bring it back."""

NO_SPACE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"})
"""Errors of a full disk, an exhausted quota, or a limit on the size of files."""


class Transactions:
    """Reads and writes on one connection. Knows after an error whether something was perhaps written.

    Before each, it compares the files with what it has written to them.
    """

    def __init__(self, connection: sqlite3.Connection, files: StoreFiles, reserve: Reserve | None = None) -> None:
        self._db = connection
        self._files = files
        self._reserve = reserve or Reserve(files.path, 0)
        self._head: Difference = lambda _: ""
        self._whole: Difference = lambda _: ""
        self._doubt = False
        self._log_saved = False
        files.note_opened()

    def compare(self, head: Difference, whole: Difference) -> None:
        """From now on, compare what is stored with what is served: the head in each transaction, all of it where
        something else has written to the files."""
        self._head, self._whole = head, whole

    def close(self) -> bool:
        """Give the file back; what was committed is in it.

        False if something else has written to the files: they stay open and as they are, since SQLite would write the
        log into what is there now. The caller must keep this object for as long as the process lives.
        """
        if self._problem() and self._files.overwritten:
            return False
        self._db.close()
        self._files.close()
        return True

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Read. `StoreLost` if the file cannot be read or is not ours any longer, or while a commit is in doubt."""
        self.resolve_doubt()
        if problem := self._problem():
            raise StoreLost(problem)
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
        result = self._commit_in_space(work, essential=essential)
        if not self._files.note():
            raise StoreLost(f"written, but to files that were taken away meanwhile: {self._problem()}")
        return result

    def _commit_in_space(self, work: Callable[[sqlite3.Connection], T], *, essential: bool) -> T:
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
                self._files.note()

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

    def _checkpoint(self) -> bool:
        """Copy the write-ahead log into the file, so that the log begins anew; whether all of it could be copied."""
        pages, copied = 0, -1
        with contextlib.suppress(sqlite3.Error):  # the file may have to grow for it
            _, pages, copied = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._files.note_main()
        return bool(pages == copied)

    def resolve_doubt(self) -> None:
        """Settle a doubtful commit by overwriting its frames in the WAL.

        `StoreLost` while a commit that failed could still be found after a crash.

        When the log was written but not synced, no reader sees its last frames, yet recovery after a crash would.
        Writing anything else overwrites them.
        """
        if self._doubt:
            self._commit(lambda db: db.execute("UPDATE store SET epoch = epoch"))
            self._doubt = False
            self._files.note()

    def _commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if problem := self._problem():
            raise NotWritten(problem)
        committing = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if difference := self._head(self._db):
                raise NotWritten(f"{self._files.path} was written to by something else: {difference}. {GO_ON}")
            result = work(self._db)
            committing = True
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()
            self._files.note()
            if not isinstance(error, sqlite3.Error):
                raise
            code = getattr(error, "sqlite_errorname", "")
            self._doubt = self._doubt or (committing and code not in INCOMPLETE)
            if self._doubt:
                raise StoreLost(f"the disk refused it: {error}") from error
            raise (DiskFull if lacks_space(error) else NotWritten)(f"the disk refused it: {error}") from error
        return result

    def _problem(self) -> str:
        """Why a restart would not find what was committed; empty if it would.

        If only the log is gone, everything in it is first saved into the file, where a restart finds it.
        """
        problem = self._files.problem(self._whole)
        if not problem:
            self._log_saved = False
        elif not self._log_saved and self._files.has_lost_log:
            self._log_saved = self._checkpoint()
        return f"{problem}. Everything acknowledged is in {self._files.path}" if self._log_saved else problem


def lacks_space(error: BaseException | None) -> bool:
    """Whether that error of SQLite is one of a full disk."""
    return getattr(error, "sqlite_errorname", "") in NO_SPACE
