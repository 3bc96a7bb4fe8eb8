"""Keeping the ledger short: the oldest lines go into files beside the store, and what they led to takes their place."""

import uuid
from collections.abc import Iterable
from pathlib import Path

from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.store.ledger import Past, Row, export, replay


def archive(rows: Iterable[Row], past: Past, folder: Path) -> tuple[Past, Path]:
    """Export the oldest rows into a file of that folder: what they led to, and the file. `past` is what was before.

    They are replayed first, so lines that do not hold are never taken away: `BrokenLedgerError` or `Unreadable` then,
    OSError if the disk refuses.
    """
    rows = list(rows)
    return replay(rows, past), export(rows, folder)


def trimming(past: Past, path: Path, *, who: str) -> Change:
    """What is written down when the lines that led to `past`, and are in that file, are taken away."""
    details = {"through": past.chain.last, "hash": past.chain.hash, "file": path.name}
    entry = Entry(
        kind=LedgerKind.LEDGER_TRIMMED,
        who=who,
        why=f"lines up to {past.chain.last} exported to {path}",
        details=details,
    )
    return Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry)
