"""Keeping the ledger short: the oldest lines are exported into files, and what they led to takes their place."""

import uuid
from collections.abc import Iterable
from pathlib import Path

from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.store.ledger_export import export
from controller.store.ledger_replay import Checkpoint, LedgerRow, replay


def export_oldest(rows: Iterable[LedgerRow], before: Checkpoint, folder: Path) -> tuple[Checkpoint, Path]:
    """Export the oldest rows into a file of that folder: the checkpoint after them, and the file.

    They are replayed from the checkpoint before them first, so that a broken ledger is never trimmed:
    `BrokenLedgerError` or `Unreadable`. OSError if the disk refuses.
    """
    rows = list(rows)
    return replay(rows, before), export(rows, folder)


def trim_change(checkpoint: Checkpoint, path: Path, *, who: str) -> Change:
    """The change that records the trimming of the lines that led to the checkpoint, exported into that file."""
    details = {"through": checkpoint.chain.last, "hash": checkpoint.chain.hash, "file": path.name}
    entry = Entry(
        kind=LedgerKind.LEDGER_TRIMMED,
        who=who,
        why=f"lines up to {checkpoint.chain.last} exported to {path}",
        details=details,
    )
    return Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry)
