"""Keeping the ledger short: the oldest lines go into files beside the store, and what they led to takes their place."""

import uuid
from pathlib import Path

from controller.core.guard import Act
from controller.core.ledger import TRIMMED
from controller.core.view import Change, Entry
from controller.store.database import Database
from controller.store.ledger import export, replay


def trim(database: Database, folder: Path, *, lines: int, who: str, at: float) -> Path:
    """Export the oldest `lines` into a file of that folder, then take them away: the file.

    They are replayed first, so lines that do not hold are never taken away: `BrokenLedgerError` or `Unreadable` then,
    OSError or `StoreLost` if the disk refuses.
    """
    rows = database.rows(lines)
    past = replay(rows, database.past())
    path = export(rows, folder)
    details = {"through": past.chain.last, "hash": past.chain.hash, "file": path.name}
    why = f"{len(rows)} lines exported to {path}"
    entry = Entry(kind=TRIMMED, who=who, why=why, details=details)
    database.cut(past, Change(uuid.uuid4().hex, TRIMMED, Act.RECORD, entry), at)
    return path
