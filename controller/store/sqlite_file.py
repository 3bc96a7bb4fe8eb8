"""Opening the SQLite file: set up, checked, and of the present schema; or `Unusable` with what to do about it."""

import sqlite3
from pathlib import Path

from controller.core.model.store_errors import Unusable
from controller.store.schema import prepare, read_schema

BUSY = 2.0
"""Seconds to wait for another program that reads the file; the lock keeps other controllers out."""

WAL_LIMIT = 4 * 1024 * 1024
"""Bytes of the write-ahead log that stay on disk once it starts over: what SQLite's checkpoint at 1000 pages of 4 KB
needs. A reader with an open transaction lets the log grow beyond it; the second commit after that reader ends gives
the disk space back."""

NEEDS = "It must be writable, on a local disk with space"

RESTORE = (
    "The file was left as it is. To restore a backup: `haldane restore PATH`. Without one: move the file and its -wal "
    "and -shm files away, then save what can be read with `sqlite3 OLD .recover | sqlite3 NEW`, or start with an empty "
    "store (`haldane serve --init`) and apply the service files again. The proxies keep what they serve meanwhile"
)


def connect(path: Path, *, shared: bool = True) -> sqlite3.Connection:
    """A connection to the file. `Unusable` says what is wrong with it and what to do.

    Without `shared` no other program can read the file meanwhile, and reading it takes no space on the disk.
    """
    try:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise Unusable(f"{path} cannot be opened: {error}") from error
    try:
        if not shared:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        read_schema(connection)
        _check(connection)
        prepare(connection)
    except Unusable as unusable:
        connection.close()
        raise Unusable(f"{path} {unusable}") from None
    except sqlite3.OperationalError as error:
        connection.close()
        raise Unusable(f"{path} cannot be used: {error}. {NEEDS}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise Unusable(f"{path} is corrupt: {error}. {RESTORE}") from error
    return connection


def _check(db: sqlite3.Connection) -> None:
    """Configure the connection. `Unusable` if the file is damaged, or where WAL does not work."""
    db.text_factory = decode
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise Unusable(f"is in a place where SQLite's write-ahead log does not work (mode {mode}): use a local disk")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise Unusable(f"is corrupt: {found.splitlines()[-1]}. {RESTORE}")


def decode(text: bytes) -> str:
    """SQLite's text as a string; what is not UTF-8 becomes no record, so that only that record is unreadable."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8: {error.reason} at byte {error.start}"
