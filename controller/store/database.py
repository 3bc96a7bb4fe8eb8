"""The open SQLite file, and the view of what is in it. Blocking: no asyncio here."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.effect import Effect
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import StoreLost, Unusable
from controller.ports.archive import KEPT_RECORDINGS, SavedSession
from controller.process.fault_points import reach
from controller.store import queries
from controller.store.ledger_replay import Checkpoint, LedgerRow
from controller.store.reserve import Reserve
from controller.store.sqlite_file import RESTORE, connect
from controller.store.store_files import StoreFiles
from controller.store.transactions import Transactions, lacks_space


class Database:
    """One open file. Every method raises `StoreLost` when the disk fails, `NotWritten` if surely nothing changed."""

    def __init__(self, disk: Transactions) -> None:
        self._disk = disk
        with disk.read() as db:
            self.view = queries.read_view(db)
            self._epoch = queries.read_head(db).epoch
        disk.compare(self._compare_head, self._compare)

    @classmethod
    def open(cls, path: Path, reserve: Reserve | None = None) -> Self:
        """The file, made if there is none, checked, brought to the present schema; `Unusable` otherwise.

        On a full disk it is opened in the reserved space, if there is some, else so that it can at least be read.
        """
        reserve = reserve or Reserve(path, 0)
        files = StoreFiles(path)
        try:
            connection = _connect(path, reserve)
        except BaseException:
            files.close()
            raise
        try:
            return cls(Transactions(connection, files, reserve))
        except StoreLost as lost:
            connection.close()
            files.close()
            raise Unusable(f"{path} is corrupt: {lost}. {RESTORE}") from lost

    def close(self) -> bool:
        """Give the file back; what was committed is in it. False if it has to stay open (`Transactions.close`)."""
        return self._disk.close()

    def check(self) -> None:
        """`StoreLost` while it is in doubt what is stored, or once a restart would not find what is served."""
        with self._disk.read():
            pass

    def begin_term(self) -> int:
        """Begin a term and return its token."""

        def work(db: sqlite3.Connection) -> int:
            return int(db.execute("UPDATE store SET epoch = epoch + 1 RETURNING epoch").fetchone()[0])

        self._epoch = self._disk.write(work, essential=True)
        return self._epoch

    @property
    def problem(self) -> str:
        """Why only what is essential is written now; empty while everything is."""
        return self._disk.problem

    def probe(self) -> None:
        """Write something that changes nothing, and set aside what is missing of the reserve."""
        self._disk.fill_reserve()
        self._disk.write(lambda db: db.execute("UPDATE store SET epoch = epoch"))

    def apply(self, change: Change, token: int | None, at: float) -> int:
        """Apply the change and return the revision; if it was applied before, the revision it got the first time.

        `Conflict`, `Frozen`, `ReusedId`: refused, nothing changed. ValueError if the change contradicts itself.
        """
        commit_rules.check_sound(change)
        reach("commit:before", change.entry.kind)
        revision, effect = self._disk.write(
            lambda db: queries.apply(db, change, token, at, self.view), essential=change.is_essential
        )
        if effect:
            self.view = commit_rules.after(self.view, effect, revision)
        reach("commit:after", change.entry.kind)
        return revision

    def apply_all(self, changes: Sequence[Change], at: float) -> list[int]:
        """Apply operators' changes in this order, all of them or none, and return the revision of each.

        Raises what `apply` does for the first that is refused.
        """
        for change in changes:
            commit_rules.check_sound(change)
        reach("commit:before", changes[0].entry.kind)
        applied = self._disk.write(lambda db: [queries.apply(db, change, None, at, self.view) for change in changes])
        for revision, effect in applied:
            if effect:
                self.view = commit_rules.after(self.view, effect, revision)
        reach("commit:after", changes[-1].entry.kind)
        return [revision for revision, _ in applied]

    def applied(self, change_id: str) -> Applied | None:
        """The change of that id, if the ledger has it."""
        with self._disk.read() as db:
            return queries.find_applied(db, change_id)

    def events(self, service: str, after: int, limit: int) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first: of all (""), or those that concern one service."""
        with self._disk.read() as db:
            return queries.find_lines(db, service, after, limit)

    def rows(self, limit: int = -1) -> list[LedgerRow]:
        """The oldest rows of the ledger, at most so many (-1: all)."""
        with self._disk.read() as db:
            return queries.oldest_rows(db, limit)

    def ledger_length(self) -> int:
        """How many lines the ledger has."""
        with self._disk.read() as db:
            return queries.ledger_length(db)

    def checkpoint(self) -> Checkpoint:
        """What the trimmed part of the ledger led to; the empty checkpoint if none was trimmed."""
        with self._disk.read() as db:
            return queries.read_checkpoint(db, self.view.store_id)

    def trim(self, checkpoint: Checkpoint, change: Change, at: float) -> None:
        """Delete the ledger's lines that led to the checkpoint, and apply the change that says so."""

        def work(db: sqlite3.Connection) -> int:
            revision, _ = queries.apply(db, change, None, at, self.view)
            queries.trim_ledger(db, checkpoint)
            return revision

        self.view = commit_rules.after(self.view, Effect(), self._disk.write(work))

    def save_sessions(self, sessions: Mapping[str, SavedSession]) -> None:
        """Keep these sessions, by service: all of them or none."""
        reach("session:before")
        rows = ", ".join(["(?, ?, ?)"] * len(sessions))
        values = [value for service, session in sessions.items() for value in (service, *session)]
        self._disk.write_unsynced(f"REPLACE INTO sessions VALUES {rows}", *values)  # noqa: S608
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
        self._disk.write_unsynced(query, rollout_id, recording)
        beyond = "SELECT number FROM recordings ORDER BY number DESC LIMIT 1 OFFSET ?"
        self._disk.write_unsynced(f"DELETE FROM recordings WHERE number <= ({beyond})", KEPT_RECORDINGS)  # noqa: S608

    def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording of that rollout, if it is kept."""
        with self._disk.read() as db:
            row = db.execute("SELECT recording FROM recordings WHERE rollout_id = ?", (rollout_id,)).fetchone()
        return row[0] if row else None

    def save_cursor(self, reader: str, sequence: int) -> None:
        """Keep how far a reader of the ledger has come."""
        self._disk.write_unsynced("REPLACE INTO cursors VALUES (?, ?)", reader, sequence)

    def load_cursor(self, reader: str) -> int | None:
        """How far that reader has come; None for a new one."""
        with self._disk.read() as db:
            row = db.execute("SELECT sequence FROM cursors WHERE reader = ?", (reader,)).fetchone()
        return int(row[0]) if row else None

    def _compare_head(self, db: sqlite3.Connection) -> str:
        """How the store that `db` reads is not the one that is served, or is at another place; empty if it is."""
        head = queries.read_head(db)
        if head.store_id != self.view.store_id:
            return "it is another store"
        if head.revision != self.view.revision:
            return f"it is at revision {head.revision}, and revision {self.view.revision} is served"
        return "another controller has begun a term" if head.epoch != self._epoch else ""

    def _compare(self, db: sqlite3.Connection) -> str:
        """How the content that `db` reads is not what is served; empty if it is."""
        differs = queries.read_view(db) != self.view
        return self._compare_head(db) or ("its content is not what is served" if differs else "")


def _connect(path: Path, reserve: Reserve) -> sqlite3.Connection:
    while True:
        try:
            return connect(path)
        except Unusable as unusable:
            if not lacks_space(unusable.__cause__):
                raise
            if not reserve.release():
                return connect(path, shared=False)
