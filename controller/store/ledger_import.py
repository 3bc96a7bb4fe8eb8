"""Exported lines of the ledger, brought back into the store for reading."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from controller.core.model.store_errors import Unusable
from controller.store import queries
from controller.store.file_lock import FileLock
from controller.store.ledger_export import verify_rows
from controller.store.ledger_replay import LedgerRow
from controller.store.sqlite_file import connect
from controller.store.store_files import StoreFiles


def import_rows(store: Path, rows: Sequence[LedgerRow]) -> int:
    """Bring the lines that the store no longer has back into it, and return how many; they stay until the next trim.

    Nothing is decided by them. `Unusable`: they are not sound, do not lead to the first line that the store has, a
    controller uses the store, or the disk refuses; nothing was imported.
    """
    chain, store = verify_rows(rows), store.resolve()
    if chain.broken is not None:
        raise Unusable(f"the exports are broken at line {chain.broken}: {chain.why}")
    if not store.is_file():
        raise Unusable(f"{store} is not there")
    try:
        lock = FileLock.take(store)
        try:
            StoreFiles(store).close()  # raises if a controller has it under another name
            with contextlib.closing(connect(store)) as db:
                return _import(db, rows)
        finally:
            lock.release()
    except (OSError, sqlite3.Error) as error:
        raise Unusable(f"{store} cannot be written: {error}") from error


def _import(db: sqlite3.Connection, rows: Sequence[LedgerRow]) -> int:
    first = next(iter(queries.find_lines(db, "", 0, 1)), None)
    earlier = [row.line for row in rows if first and row.line.sequence < first.sequence]
    if not earlier:
        return 0
    last = earlier[-1]
    assert first
    if (last.sequence, last.hash) != (first.sequence - 1, first.previous):
        raise Unusable(f"line {last.sequence} of the exports does not lead to line {first.sequence} of the store")
    db.execute("BEGIN IMMEDIATE")
    archived = [(line.sequence, line.entry.scope, line.model_dump_json()) for line in earlier]
    db.executemany("INSERT INTO archive VALUES (?, ?, ?)", archived)
    db.execute("COMMIT")
    return len(earlier)
