"""The tables of the SQLite file, and how a file of an older schema becomes one of the present."""

import sqlite3
import uuid
from collections.abc import Callable, Mapping

from controller.core.model.store_errors import Unusable

APPLICATION = 0x48414C44
"""SQLite's application_id of Haldane's files: HALD."""

FILE_SCHEMA = 7
"""The number of the tables below (SQLite's user_version). Files with a newer one are refused."""

TABLES = """
CREATE TABLE store (
  id TEXT NOT NULL,           -- a UUID made with the file
  revision INTEGER NOT NULL,  -- raised by one with each change
  epoch INTEGER NOT NULL      -- the token of the current term
);
CREATE TABLE services (name TEXT PRIMARY KEY, revision INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE ledger (
  sequence INTEGER PRIMARY KEY,
  revision INTEGER NOT NULL,
  change_id TEXT NOT NULL UNIQUE,
  fingerprint TEXT NOT NULL,
  service TEXT NOT NULL,
  hash TEXT NOT NULL,         -- the line's
  line TEXT NOT NULL,         -- a LedgerLine
  effect TEXT NOT NULL        -- an Effect; its hash is in the line
);
CREATE TABLE checkpoint (     -- at most one row: what the trimmed part of the ledger led to
  sequence INTEGER NOT NULL,
  hash TEXT NOT NULL,         -- of the last line that was trimmed
  record TEXT NOT NULL
);
CREATE TABLE quarantine (name TEXT NOT NULL, revision INTEGER NOT NULL, record TEXT NOT NULL);
CREATE TABLE sessions (service TEXT PRIMARY KEY, rollout_id TEXT NOT NULL, session TEXT NOT NULL);
"""

CURSORS = "CREATE TABLE cursors (reader TEXT PRIMARY KEY, sequence INTEGER NOT NULL)"
"""Since schema 2."""
RECORDINGS = """
CREATE TABLE recordings (
  number INTEGER PRIMARY KEY,  -- rises with each rollout
  rollout_id TEXT NOT NULL UNIQUE,
  recording BLOB NOT NULL
)"""
"""Since schema 3."""
FREEZES = "CREATE TABLE freezes (scope TEXT NOT NULL, record TEXT NOT NULL)"
"""Since schema 4; before, a scope had one freeze at most."""
EXCLUSIONS = "CREATE TABLE exclusions (node TEXT PRIMARY KEY, record TEXT NOT NULL)"
"""Since schema 5."""
ARCHIVE = "CREATE TABLE archive (sequence INTEGER PRIMARY KEY, service TEXT NOT NULL, line TEXT NOT NULL)"
"""Since schema 6: lines from before the ledger's first one, imported from exports for reading."""


def _let_freezes_stand(db: sqlite3.Connection) -> None:
    """Schema 4: a scope can have several freezes."""
    kept = db.execute("SELECT scope, record FROM freezes").fetchall()
    db.execute("DROP TABLE freezes")
    db.execute(FREEZES)
    db.executemany("INSERT INTO freezes VALUES (?, ?)", kept)


Migration = Callable[[sqlite3.Connection], object]

MIGRATIONS: Mapping[int, Migration] = {
    1: lambda db: db.execute(CURSORS),
    2: lambda db: db.execute(RECORDINGS),
    3: _let_freezes_stand,
    4: lambda db: db.execute(EXCLUSIONS),
    5: lambda db: db.execute(ARCHIVE),
    6: lambda _: (
        None
    ),  # the tables stay, but their records may have schema 3, which an older Haldane must not set aside
}
"""File schema -> what upgrades a file to the next one. Every number below FILE_SCHEMA is here."""


def read_schema(db: sqlite3.Connection, *, newest: int = FILE_SCHEMA) -> int:
    """The file's schema, 0 for an empty file; `Unusable` for another program's or a newer one. Changes nothing."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION and (tables or application):
        raise Unusable("is a database of another program: choose another file with HALDANE_STORE=sqlite:PATH")
    schema = int(db.execute("PRAGMA user_version").fetchone()[0])
    if schema > newest:
        raise Unusable(
            f"was written by a newer Haldane (schema {schema}, this one reads up to {newest}): upgrade Haldane, "
            "or restore the copy made before the upgrade"
        )
    return schema


def prepare(
    db: sqlite3.Connection, *, newest: int = FILE_SCHEMA, migrations: Mapping[int, Migration] = MIGRATIONS
) -> None:
    """Create the tables in an empty file, or upgrade an older one: all in one transaction, or nothing."""
    schema = read_schema(db, newest=newest)
    if schema == newest:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if schema == 0:
            _create(db)
        else:
            for number in range(schema, newest):
                migrations[number](db)
        db.execute(f"PRAGMA user_version = {newest}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _create(db: sqlite3.Connection) -> None:
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    for statement in (*TABLES.split(";\n"), CURSORS, RECORDINGS, FREEZES, EXCLUSIONS, ARCHIVE):
        if statement.strip():
            db.execute(statement)
    db.execute("INSERT INTO store VALUES (?, 0, 0)", (str(uuid.uuid4()),))
