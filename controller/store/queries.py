"""The SQL that reads and writes the tables, inside a transaction that the caller holds."""

import sqlite3
from typing import NamedTuple

import structlog
from pydantic import ValidationError

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.effect import Effect
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_line import ChainEnd, LedgerLine
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.process.fault_points import reach
from controller.store.ledger_replay import Checkpoint, LedgerRow
from controller.store.records import Unreadable, digest, read_exclusion, read_freeze, read_state, write

log = structlog.get_logger()


class Head(NamedTuple):
    """Which store it is, how far it has come, and the token of its term."""

    store_id: str
    revision: int
    epoch: int


def read_head(db: sqlite3.Connection) -> Head:
    """The one row of the table `store`; sqlite3.DatabaseError if it is not there."""
    head = db.execute("SELECT id, revision, epoch FROM store").fetchone()
    if head is None:
        raise sqlite3.DatabaseError("its table `store` is empty")
    return Head(*head)


def read_view(db: sqlite3.Connection) -> View:
    """Everything there is. A record that cannot be read is named in `broken`; the others are there all the same."""
    services: dict[str, ServiceState] = {}
    broken: dict[str, str] = {}
    for name, text in db.execute("SELECT name, record FROM services ORDER BY name"):
        try:
            services[name] = read_state(name, text)
        except Unreadable as error:
            broken[name] = str(error)
            log.error("record_unreadable", service=name, reason=str(error))
    head = read_head(db)
    exclusions = tuple(read_exclusion(*row) for row in db.execute("SELECT node, record FROM exclusions ORDER BY node"))
    freezes = commit_rules.sorted_by_scope(_freezes(db))
    return View(head.store_id, head.revision, services, freezes, broken, exclusions)


def find_applied(db: sqlite3.Connection, change_id: str) -> Applied | None:
    """The change of that id, if the ledger has it."""
    row = db.execute("SELECT revision, fingerprint FROM ledger WHERE change_id = ?", (change_id,)).fetchone()
    return Applied(*row) if row else None


def find_lines(db: sqlite3.Connection, service: str, after: int, limit: int) -> list[LedgerLine]:
    """Ledger lines with sequence > `after`, oldest first: of all (""), or those that concern one service.

    Imported lines come first: they are all from before the ledger's.
    """
    lines: list[LedgerLine] = []
    for table in ("archive", "ledger"):
        query = f"""
            SELECT sequence, line, '' FROM {table} WHERE sequence > :after AND (
              :service = '' OR instr(',' || service || ',', ',' || :service || ',')
              OR instr(',' || service || ',', ',*,'))
            ORDER BY sequence LIMIT :limit"""  # noqa: S608
        wanted = {"after": after, "service": service, "limit": limit - len(lines)}
        lines += [row.line for row in _rows(db.execute(query, wanted))]
    return lines


def oldest_rows(db: sqlite3.Connection, limit: int) -> list[LedgerRow]:
    """The oldest rows of the ledger, at most so many (-1: all)."""
    return _rows(db.execute("SELECT sequence, line, effect FROM ledger ORDER BY sequence LIMIT ?", (limit,)))


def ledger_length(db: sqlite3.Connection) -> int:
    """How many lines the ledger has."""
    query = "SELECT (SELECT max(sequence) FROM ledger) - (SELECT min(sequence) FROM ledger) + 1"
    return db.execute(query).fetchone()[0] or 0


def read_checkpoint(db: sqlite3.Connection, store_id: str) -> Checkpoint:
    """What the trimmed part of the ledger led to; the empty checkpoint if none was trimmed."""
    row = db.execute("SELECT sequence, hash, record FROM checkpoint").fetchone()
    return Checkpoint.load(store_id, *row) if row else Checkpoint.empty(store_id)


def trim_ledger(db: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Delete the lines that led to the checkpoint, and those that were imported; store the checkpoint instead."""
    db.execute("DELETE FROM ledger WHERE sequence <= ?", (checkpoint.chain.last,))
    db.execute("DELETE FROM archive")  # there would be a gap after what it has
    db.execute("DELETE FROM checkpoint")
    db.execute(
        "INSERT INTO checkpoint VALUES (?, ?, ?)", (checkpoint.chain.last, checkpoint.chain.hash, checkpoint.dump())
    )


def apply(
    db: sqlite3.Connection, change: Change, token: int | None, at: float, view: View
) -> tuple[int, Effect | None]:
    """Apply the change: the revision, and what it did. A change that was applied before does nothing (None).

    `view` is what was stored before this transaction.
    """
    earlier = find_applied(db, change.id)
    if earlier:
        return commit_rules.check_repeated(change, earlier), None
    revision: int
    revision, epoch = db.execute("SELECT revision, epoch FROM store").fetchone()
    if token is not None:
        commit_rules.check_token(token, epoch)
    freezes = _freezes(db)
    commit_rules.check_change(change, _present(db, change.service, view), freezes)
    effect = commit_rules.effect_of(change, revision + 1, freezes)
    _write(db, change, effect, revision + 1)
    _append(db, change, effect, revision + 1, at)
    db.execute("UPDATE store SET revision = ?", (revision + 1,))
    reach("commit:inside", change.entry.kind)
    return revision + 1, effect


def _rows(found: sqlite3.Cursor) -> list[LedgerRow]:
    """The rows, without those that cannot be read: verification finds the chain broken there."""
    rows = []
    for sequence, text, effect in found:
        try:
            rows.append(LedgerRow(LedgerLine.model_validate_json(text), effect))
        except ValidationError as error:
            log.error("ledger_line_unreadable", sequence=sequence, reason=str(error).splitlines()[0])
    return rows


def _present(db: sqlite3.Connection, service: str, view: View) -> int:
    """The revision of a service's record; 0 if there is none, or none that can be read.

    `view` is what was stored before this transaction: it knows which records can be read.
    """
    row = db.execute("SELECT revision FROM services WHERE name = ?", (service,)).fetchone()
    if row is None:
        return 0
    written = row[0] > view.revision  # by an earlier change of this transaction
    return int(row[0]) if written or service in view.services else 0


def _freezes(db: sqlite3.Connection) -> list[Freeze]:
    return [read_freeze(*row) for row in db.execute("SELECT scope, record FROM freezes")]


def _write(db: sqlite3.Connection, change: Change, effect: Effect, revision: int) -> None:
    name = change.service
    if change.state or change.delete:
        if not change.expects:  # a record that is there all the same cannot be read: it is set aside
            db.execute("INSERT INTO quarantine SELECT name, revision, record FROM services WHERE name = ?", (name,))
        db.execute("DELETE FROM services WHERE name = ?", (name,))
    if effect.state:
        db.execute("INSERT INTO services VALUES (?, ?, ?)", (name, revision, write(effect.state)))
    if change.delete:
        db.execute("DELETE FROM sessions WHERE service = ?", (name,))
    db.executemany("DELETE FROM freezes WHERE scope = ?", [(scope,) for scope in effect.scopes])
    db.executemany("INSERT INTO freezes VALUES (?, ?)", [(f.scope, write(f)) for f in effect.freezes])
    if effect.included:
        db.execute("DELETE FROM exclusions WHERE node = ?", (effect.included,))
    if effect.excluded:
        db.execute("INSERT OR REPLACE INTO exclusions VALUES (?, ?)", (effect.excluded.node, write(effect.excluded)))


def _append(db: sqlite3.Connection, change: Change, effect: Effect, revision: int, at: float) -> None:
    last = db.execute("SELECT sequence, hash FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone() or (0, "")
    record = write(effect)
    line = LedgerLine.after(
        ChainEnd(*last), revision=revision, at=at, change_id=change.id, entry=change.entry, effect=digest(record)
    )
    text = line.model_dump_json()
    db.execute(
        "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (line.sequence, revision, change.id, change.fingerprint, change.entry.scope, line.hash, text, record),
    )
