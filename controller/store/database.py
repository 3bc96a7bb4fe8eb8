"""The SQLite file: opened with every check, read whole, and changed in one transaction. Blocking; no asyncio here."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

from controller.core.guard import Freeze
from controller.core.view import Change, LedgerLine, ServiceState, View
from controller.ports import Applied, NotWritten, StoreLost, Unusable
from controller.store import rules
from controller.store.ledger import Past, Row
from controller.store.records import Effect, Unreadable, digest, read_freeze, read_state, write
from controller.store.schema import prepare

T = TypeVar("T")

BUSY = 2.0
"""Seconds to wait for somebody who looks into the file by hand and holds it; the lock keeps other controllers out."""

RESTORE = (
    "The file was left as it is. To restore: move it and its -wal and -shm files away, then put a backup in its place, "
    "or save what can be read with `sqlite3 OLD .recover | sqlite3 NEW`, or start with an empty store and apply the "
    "service files again. The proxies keep what they serve meanwhile"
)


INCOMPLETE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
"""Errors of COMMIT that leave its last frame in the write-ahead log cut off, so that nothing can bring it back."""


class Database:
    """One open file, with the view of what is in it.

    Every method raises `StoreLost` when the disk fails, and `NotWritten` when it fails and surely nothing changed.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._doubt = False
        self.view = self._load()

    @classmethod
    def open(cls, path: Path) -> Self:
        """The file, made if there is none, checked, brought to the present schema; `Unusable` otherwise."""
        try:
            connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise Unusable(f"{path} cannot be opened ({error})") from error
        try:
            _check(connection)
            prepare(connection)
            return cls(connection)
        except Unusable as unusable:
            connection.close()
            raise Unusable(f"{path} {unusable}") from None
        except sqlite3.OperationalError as error:
            connection.close()
            raise Unusable(
                f"{path} cannot be used: {error}. It must be writable, on a local disk with space"
            ) from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise Unusable(f"{path} is corrupt: {error}. {RESTORE}") from error

    def close(self) -> None:
        """Give the file back; what was committed is in it."""
        self._db.close()

    def raise_epoch(self) -> int:
        """Begin a term: its token."""
        return self._transact(
            lambda: int(self._db.execute("UPDATE store SET epoch = epoch + 1 RETURNING epoch").fetchone()[0])
        )

    def apply(self, change: Change, token: int | None, at: float) -> int:
        """Apply the change, unless something speaks against it: the revision. A repeated one is only answered."""
        rules.check_sound(change)
        revision = self._transact(lambda: self._apply(change, token, at))
        if revision > self.view.revision:
            self.view = rules.after(self.view, Effect.of(change, revision), revision)
        return revision

    def applied(self, change_id: str) -> Applied | None:
        """The change of that id, if the ledger has it."""
        with self._asking():
            return self._find(change_id)

    def events(self, service: str, after: int, limit: int) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first, of one service or ("") of all."""
        with self._asking():
            rows = self._db.execute(
                "SELECT line FROM ledger WHERE sequence > :after AND (:service = '' OR "
                "instr(',' || service || ',', ',' || :service || ',') OR instr(',' || service || ',', ',*,')) "
                "ORDER BY sequence LIMIT :limit",
                {"after": after, "service": service, "limit": limit},
            ).fetchall()
        return [LedgerLine.model_validate_json(row[0]) for row in rows]

    def rows(self, limit: int = -1) -> list[Row]:
        """The oldest rows of the ledger, at most so many (-1: all)."""
        with self._asking():
            found = self._db.execute("SELECT line, effect FROM ledger ORDER BY sequence LIMIT ?", (limit,)).fetchall()
        return [Row(LedgerLine.model_validate_json(line), effect) for line, effect in found]

    def ledger_length(self) -> int:
        """How many lines the ledger has."""
        with self._asking():
            found = self._db.execute(
                "SELECT (SELECT max(sequence) FROM ledger) - (SELECT min(sequence) FROM ledger) + 1"
            ).fetchone()
        return found[0] or 0

    def past(self) -> Past:
        """What the trimmed part of the ledger led to; nothing, if none was trimmed."""
        with self._asking():
            row = self._db.execute("SELECT sequence, hash, record FROM checkpoint").fetchone()
        return Past.load(self.view.store_id, *row) if row else Past.nothing(self.view.store_id)

    def cut(self, past: Past, change: Change, at: float) -> None:
        """Take away the lines that led to `past`, which takes their place, and write down the change that says so."""

        def work() -> int:
            self._db.execute("DELETE FROM checkpoint")
            self._db.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (past.chain.last, past.chain.hash, past.dump()))
            revision = self._apply(change, None, at)
            self._db.execute("DELETE FROM ledger WHERE sequence <= ?", (past.chain.last,))
            return revision

        self.view = rules.after(self.view, Effect(), self._transact(work))

    def save_session(self, service: str, rollout_id: str, session: str) -> None:
        """Keep a session. Not synced to the disk by itself: what the next change does anyway is enough."""
        with self._asking():
            self._db.execute("PRAGMA synchronous = NORMAL")
            try:
                self._db.execute("REPLACE INTO sessions VALUES (?, ?, ?)", (service, rollout_id, session))
            finally:
                self._db.execute("PRAGMA synchronous = FULL")

    def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session of that rollout, if it is kept."""
        with self._asking():
            row = self._db.execute(
                "SELECT session FROM sessions WHERE service = ? AND rollout_id = ?", (service, rollout_id)
            ).fetchone()
        return row[0] if row else None

    def settle(self) -> None:
        """Make sure what is stored: `StoreLost` while a commit that failed could still come back after a crash.

        When the log was written but not synced, its frames are not seen by anybody, yet a crash would find them.
        Writing anything puts other frames in their place.
        """
        if self._doubt:
            self._commit(lambda: self._db.execute("UPDATE store SET epoch = epoch"))
            self._doubt = False

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        self.settle()
        try:
            yield
        except sqlite3.Error as error:
            raise StoreLost(f"the store's file does not answer: {error}") from error

    def _transact(self, work: Callable[[], T]) -> T:
        """All of it or nothing. `NotWritten` if that is sure to be nothing, `StoreLost` if it may come back."""
        self.settle()
        try:
            return self._commit(work)
        except StoreLost as lost:
            if self._doubt:
                self.settle()
                raise NotWritten(str(lost)) from lost
            raise

    def _commit(self, work: Callable[[], T]) -> T:
        committing = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work()
            committing = True
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.rollback()
            if not isinstance(error, sqlite3.Error):
                raise
            code = getattr(error, "sqlite_errorname", "")
            self._doubt = self._doubt or (committing and code not in INCOMPLETE)
            kind, told = (StoreLost, "perhaps written") if self._doubt else (NotWritten, "nothing changed")
            raise kind(f"the disk refused it, {told}: {error}") from error
        return result

    def _apply(self, change: Change, token: int | None, at: float) -> int:
        earlier = self._find(change.id)
        if earlier:
            return rules.check_repeated(change, earlier)
        revision: int
        revision, epoch = self._db.execute("SELECT revision, epoch FROM store").fetchone()
        if token is not None:
            rules.check_token(token, epoch)
        rules.check_change(change, self._present(change.service), self._freezes())
        self._write(change, revision + 1)
        self._append(change, revision + 1, at)
        self._db.execute("UPDATE store SET revision = ?", (revision + 1,))
        return revision + 1

    def _load(self) -> View:
        """Everything there is. A record that cannot be read is named in `broken`; the others are served."""
        services: dict[str, ServiceState] = {}
        broken: dict[str, str] = {}
        for name, text in self._db.execute("SELECT name, record FROM services ORDER BY name"):
            try:
                services[name] = read_state(name, text)
            except Unreadable as error:
                broken[name] = str(error)
        store_id, revision = self._db.execute("SELECT id, revision FROM store").fetchone()
        return View(store_id, revision, services, rules.by_scope(self._freezes()), broken)

    def _find(self, change_id: str) -> Applied | None:
        row = self._db.execute(
            "SELECT revision, json_extract(effect, '$.fingerprint') FROM ledger WHERE change_id = ?", (change_id,)
        ).fetchone()
        return Applied(*row) if row else None

    def _present(self, service: str) -> int:
        """The revision of a service's record; 0 if there is none, or none that can be read."""
        row = self._db.execute("SELECT revision, record FROM services WHERE name = ?", (service,)).fetchone()
        if row is None:
            return 0
        with contextlib.suppress(Unreadable):
            read_state(service, row[1])
            return int(row[0])
        return 0

    def _freezes(self) -> list[Freeze]:
        return [read_freeze(*row) for row in self._db.execute("SELECT scope, record FROM freezes")]

    def _write(self, change: Change, revision: int) -> None:
        if change.state or change.delete:
            if not change.expects:
                self._db.execute(
                    "INSERT INTO quarantine SELECT name, revision, record FROM services WHERE name = ?",
                    (change.service,),
                )
            self._db.execute("DELETE FROM services WHERE name = ?", (change.service,))
        if change.state:
            record = write(change.state.model_copy(update={"revision": revision}))
            self._db.execute("INSERT INTO services VALUES (?, ?, ?)", (change.service, revision, record))
        if change.delete:
            self._db.execute("DELETE FROM sessions WHERE service = ?", (change.service,))
        self._db.executemany("DELETE FROM freezes WHERE scope = ?", [(f.scope,) for f in change.lift])
        self._db.executemany("REPLACE INTO freezes VALUES (?, ?)", [(f.scope, write(f)) for f in change.freeze])

    def _append(self, change: Change, revision: int, at: float) -> None:
        row = self._db.execute("SELECT line FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone()
        previous = LedgerLine.model_validate_json(row[0]) if row else None
        effect = write(Effect.of(change, revision))
        line = LedgerLine.after(
            previous, revision=revision, at=at, change_id=change.id, entry=change.entry, effect=digest(effect)
        )
        self._db.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)",
            (line.sequence, revision, change.id, change.entry.service, line.model_dump_json(), effect),
        )


def _check(db: sqlite3.Connection) -> None:
    """Set the connection up; refuse a file that is damaged or a place where WAL does not work."""
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Unusable(f"is in a place where SQLite's write-ahead log does not work (mode {mode}): use a local disk")
    db.execute("PRAGMA synchronous = FULL")
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise Unusable(f"is corrupt: {found}. {RESTORE}")
