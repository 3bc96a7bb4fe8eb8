"""The ledger with its effects, exported as JSON lines."""

import json
from collections.abc import Iterable
from pathlib import Path

from controller.store.durable_files import sync_file, sync_folder
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
    sync_file(partial)
    partial.rename(path)
    sync_folder(folder)
    return path


def export_range(path: Path) -> tuple[int, int]:
    """The first and the last sequence number in an export, by its name. ValueError if it is not named like one."""
    first, last, _ = path.name.split("-")
    return int(first), int(last)


def _exported(row: LedgerRow) -> str:
    return canonical({"line": row.line.model_dump(mode="json"), "effect": json.loads(row.effect)})
