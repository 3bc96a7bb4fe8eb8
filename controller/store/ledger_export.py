"""The ledger with its effects, exported as JSON lines."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from controller.store.ledger_replay import LedgerRow
from controller.store.records import canonical


def export(rows: Iterable[LedgerRow], folder: Path) -> Path:
    """Write the rows into a new file of that folder, one JSON document a line: whole and synced, or OSError.

    The name holds the first and the last sequence number and the last hash, so the files in the order of their names
    are the ledger, and the same rows give the same file.
    """
    rows = list(rows)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    first, last = rows[0].line, rows[-1].line
    path = folder / f"{first.sequence:010d}-{last.sequence:010d}-{last.hash[:8]}.jsonl"
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="ascii") as file:
        file.writelines(_exported(row) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    _sync_folder(folder)
    return path


def _exported(row: LedgerRow) -> str:
    return canonical({"line": row.line.model_dump(mode="json"), "effect": json.loads(row.effect)})


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
