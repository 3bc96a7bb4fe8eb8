"""The open SQLite file and the view of what is in it. Blocking; no asyncio here."""

import sqlite3
from pathlib import Path
from typing import Self

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.effect import Effect
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import StoreLost, Unusable
from controller.ports.archive import KEPT_RECORDINGS
from controller.process.fault_points import reach
from controller.store import tables
from controller.store.ledger import Past, Row
from controller.store.opening import RESTORE, connect
from controller.store.transactions import Transactions


class Database:
    """One open file. Every method raises `StoreLost` when the disk fails, `NotWritten` if surely nothing changed."""

    def __init__(self, disk: Transactions) -> None:
        self._disk = disk
        with disk.read() as db:
            self.view = tables.read_view(db)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The file, made if there is none, checked, brought to the present schema; `Unusable` otherwise."""
        connection = connect(path)
        try:
            return cls(Transactions(connection, path))
        except StoreLost as lost:
            connection.close()
            raise Unusable(f"{path} is corrupt: {lost}. {RESTORE}") from lost

    def close(self) -> None:
        """Give the file back; what was committed is in it."""
        self._disk.close()

    def settle(self) -> None:
        """`StoreLost` while it is not sure what is stored."""
        self._disk.settle()

    def raise_epoch(self) -> int:
        """Begin a term: its token."""

        def work(db: sqlite3.Connection) -> int:
            return int(db.execute("UPDATE store SET epoch = epoch + 1 RETURNING epoch").fetchone()[0])

        return self._disk.write(work)

    def apply(self, change: Change, token: int | None, at: float) -> int:
        """Apply the change, unless something speaks against it: the revision. A repeated one is only answered."""
        commit_rules.check_sound(change)
        reach("commit:before", change.entry.kind)
        revision = self._disk.write(lambda db: tables.apply(db, change, token, at))
        if revision > self.view.revision:
            self.view = commit_rules.after(
                self.view, commit_rules.effect_of(change, revision, self.view.freezes), revision
            )
        reach("commit:after", change.entry.kind)
        return revision

    def applied(self, change_id: str) -> Applied | None:
        """The change of that id, if the ledger has it."""
        with self._disk.read() as db:
            return tables.find_applied(db, change_id)

    def events(self, service: str, after: int, limit: int) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first: of all (""), or those that concern one service."""
        with self._disk.read() as db:
            return tables.find_lines(db, service, after, limit)

    def rows(self, limit: int = -1) -> list[Row]:
        """The oldest rows of the ledger, at most so many (-1: all)."""
        with self._disk.read() as db:
            return tables.oldest_rows(db, limit)

    def ledger_length(self) -> int:
        """How many lines the ledger has."""
        with self._disk.read() as db:
            return tables.ledger_length(db)

    def past(self) -> Past:
        """What the trimmed part of the ledger led to; nothing, if none was trimmed."""
        with self._disk.read() as db:
            return tables.read_checkpoint(db, self.view.store_id)

    def cut(self, past: Past, change: Change, at: float) -> None:
        """Take away the ledger's lines that led to `past`, and write down the change that says so."""

        def work(db: sqlite3.Connection) -> int:
            revision = tables.apply(db, change, None, at)
            tables.cut_ledger(db, past)
            return revision

        self.view = commit_rules.after(self.view, Effect(), self._disk.write(work))

    def save_session(self, service: str, rollout_id: str, session: str) -> None:
        """Keep a session."""
        reach("session:before")
        self._keep("REPLACE INTO sessions VALUES (?, ?, ?)", service, rollout_id, session)
        reach("session:after")

    def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session of that rollout, if it is kept."""
        query = "SELECT session FROM sessions WHERE service = ? AND rollout_id = ?"
        with self._disk.read() as db:
            row = db.execute(query, (service, rollout_id)).fetchone()
        return row[0] if row else None

    def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep a recording, in the place of an earlier one; forget the oldest beyond the bound."""
        query = (
            "INSERT INTO recordings (rollout_id, recording) VALUES (?, ?) "
            "ON CONFLICT (rollout_id) DO UPDATE SET recording = excluded.recording"
        )
        self._keep(query, rollout_id, recording)
        beyond = "SELECT number FROM recordings ORDER BY number DESC LIMIT 1 OFFSET ?"
        self._keep(f"DELETE FROM recordings WHERE number <= ({beyond})", KEPT_RECORDINGS)  # noqa: S608

    def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording of that rollout, if it is kept."""
        with self._disk.read() as db:
            row = db.execute("SELECT recording FROM recordings WHERE rollout_id = ?", (rollout_id,)).fetchone()
        return row[0] if row else None

    def save_cursor(self, reader: str, sequence: int) -> None:
        """Keep how far a reader of the ledger has come."""
        self._keep("REPLACE INTO cursors VALUES (?, ?)", reader, sequence)

    def load_cursor(self, reader: str) -> int | None:
        """How far that reader has come; None for a new one."""
        with self._disk.read() as db:
            row = db.execute("SELECT sequence FROM cursors WHERE reader = ?", (reader,)).fetchone()
        return int(row[0]) if row else None

    def _keep(self, statement: str, *values: object) -> None:
        """Write what may be lost. It is not synced by itself: the next change does that."""
        with self._disk.read() as db:
            db.execute("PRAGMA synchronous = NORMAL")
            try:
                db.execute(statement, values)
            finally:
                db.execute("PRAGMA synchronous = FULL")
