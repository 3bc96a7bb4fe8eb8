"""A store in an SQLite file, as the source or the target of a migration."""

import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import Unusable
from controller.ports.archive import SavedSession
from controller.store import queries
from controller.store.durable_files import sync_file, sync_folder
from controller.store.file_lock import FileLock
from controller.store.ledger_replay import LedgerRow
from controller.store.migration.contents import Contents, SetAside, StoredRow
from controller.store.records import write
from controller.store.schema import prepare
from controller.store.sqlite_file import connect, decode
from controller.store.store_files import StoreFiles

PARTIAL = ".migrating"
"""What the file's name ends with until the migration is finished."""


class SqlitePlace:
    """`sqlite:PATH`. Implements `Place`."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    @contextlib.asynccontextmanager
    async def source(self) -> AsyncIterator["SqliteSource"]:
        """The store in the file, which no controller can open meanwhile."""
        if not self._path.is_file():
            raise Unusable(f"{self._path} is not there: there is nothing to migrate")
        with contextlib.ExitStack() as held:
            try:
                held.callback(FileLock.take(self._path).release)
            except OSError as error:
                raise Unusable(f"{self._path} cannot be locked: {error.strerror}") from error
            held.callback(StoreFiles(self._path).close)
            db = held.enter_context(contextlib.closing(connect(self._path)))
            yield SqliteSource(self._path, db)

    @contextlib.asynccontextmanager
    async def target(self) -> AsyncIterator["SqliteTarget"]:
        """A file that gets its name once it is whole."""
        taken = [path for end in ("", "-wal", "-shm") if (path := self._beside(end)).exists()]
        if taken:
            raise Unusable(f"{taken[0]} is there already: only a new file can be the target. Choose another name")
        if not self._path.parent.is_dir():
            raise Unusable(f"the folder {self._path.parent} is not there: make it first")
        partial = self._beside(PARTIAL)
        try:
            lock = FileLock.take(self._path)
        except OSError as error:
            raise Unusable(f"{self._path} cannot be written: {error.strerror}") from error
        try:
            partial.unlink(missing_ok=True)
            yield SqliteTarget(self._path, partial)
        finally:
            partial.unlink(missing_ok=True)
            lock.release()

    def _beside(self, end: str) -> Path:
        return self._path.with_name(self._path.name + end)


class SqliteSource:
    """The store in a file that is locked. Implements `Source`."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path = path
        self._db = db
        self._revision = 0

    async def read(self) -> Contents:
        """Everything in it."""
        try:
            contents = _read(self._db)
        except sqlite3.Error as error:
            raise Unusable(f"{self._path} cannot be read: {error}") from error
        self._revision = contents.view.revision
        return contents

    async def command(self, change: Change) -> None:
        """Apply the change in a transaction of its own."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            # A new term: what an earlier controller may still have on its way is refused.
            self._db.execute("UPDATE store SET epoch = epoch + 1")
            queries.apply(self._db, change, None, time.time(), queries.read_view(self._db))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unusable(f"{self._path} cannot be frozen: {error}") from error

    async def check_unused(self) -> None:
        """The lock keeps controllers out; other programs may not write either."""
        revision = queries.read_head(self._db).revision
        if revision != self._revision:
            raise Unusable(f"{self._path} was written to meanwhile: it is at revision {revision}")


class SqliteTarget:
    """A file under another name. Implements `Target`."""

    def __init__(self, path: Path, partial: Path) -> None:
        self._path = path
        self._partial = partial

    async def write(self, contents: Contents) -> None:
        """Make the file, in one transaction."""
        try:
            os.close(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with contextlib.closing(sqlite3.connect(self._partial, isolation_level=None)) as db:
                prepare(db)
                db.execute("BEGIN")
                _write(db, contents)
                db.execute("COMMIT")
            sync_file(self._partial)
        except (OSError, sqlite3.Error) as error:
            raise Unusable(f"{self._partial} cannot be written: {error}") from error

    async def read(self) -> Contents:
        """What the file has."""
        try:
            with contextlib.closing(sqlite3.connect(self._partial, isolation_level=None)) as db:
                db.text_factory = decode
                return _read(db)
        except sqlite3.Error as error:
            raise Unusable(f"{self._partial} cannot be read: {error}") from error

    async def finish(self) -> None:
        """Give it its name, unless another file has got it meanwhile."""
        try:
            os.link(self._partial, self._path)
            self._partial.unlink()
            sync_folder(self._path.parent)
        except OSError as error:
            raise Unusable(f"{self._path} cannot be made: {error.strerror}") from error


def _read(db: sqlite3.Connection) -> Contents:
    db.execute("BEGIN")
    try:
        view = queries.read_view(db)
        ledger = db.execute("SELECT line, effect, fingerprint FROM ledger ORDER BY sequence").fetchall()
        return Contents(
            view=view,
            checkpoint=queries.read_checkpoint(db, view.store_id),
            rows=tuple(_row(*row) for row in ledger),
            sessions={
                service: SavedSession(*saved)
                for service, *saved in db.execute("SELECT service, rollout_id, session FROM sessions")
            },
            recordings=tuple(db.execute("SELECT rollout_id, recording FROM recordings ORDER BY number")),
            cursors=dict(db.execute("SELECT reader, sequence FROM cursors")),
            quarantine=tuple(SetAside(*row) for row in db.execute("SELECT name, revision, record FROM quarantine")),
        )
    finally:
        db.execute("COMMIT")


def _row(line: str, effect: str, fingerprint: str) -> StoredRow:
    try:
        return StoredRow(LedgerRow(LedgerLine.model_validate_json(line), effect), fingerprint)
    except ValueError as error:
        raise Unusable(f"has a line in its ledger that cannot be read: {str(error).splitlines()[0]}") from error


def _write(db: sqlite3.Connection, contents: Contents) -> None:
    view, chain = contents.view, contents.checkpoint.chain
    db.execute("UPDATE store SET revision = ?", (view.revision,))
    states = view.services.values()
    db.executemany("INSERT INTO services VALUES (?, ?, ?)", [(s.name, s.revision, write(s)) for s in states])
    db.executemany("INSERT INTO freezes VALUES (?, ?)", [(each.scope, write(each)) for each in view.freezes])
    db.executemany("INSERT INTO exclusions VALUES (?, ?)", [(each.node, write(each)) for each in view.exclusions])
    rows = ((each.row.line, each.fingerprint, each.row.effect) for each in contents.rows)
    db.executemany(
        "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (e.sequence, e.revision, e.change_id, fingerprint, e.entry.scope, e.hash, e.model_dump_json(), effect)
            for e, fingerprint, effect in rows
        ),
    )
    if chain.last:
        db.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (chain.last, chain.hash, contents.checkpoint.dump()))
    saved = [(service, *session) for service, session in contents.sessions.items()]
    db.executemany("INSERT INTO sessions VALUES (?, ?, ?)", saved)
    db.executemany("INSERT INTO recordings (rollout_id, recording) VALUES (?, ?)", contents.recordings)
    db.executemany("INSERT INTO cursors VALUES (?, ?)", contents.cursors.items())
    db.executemany("INSERT INTO quarantine VALUES (?, ?, ?)", contents.quarantine)
