"""The ledger with its effects, exported as JSON lines."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from controller.core.model.ledger_chain import ChainCheck
from controller.core.model.ledger_line import LedgerLine
from controller.store.durable_files import sync_file, sync_folder
from controller.store.ledger_replay import LedgerRow
from controller.store.records import canonical, digest

_NAME = re.compile(r"(\d{10,})-(\d{10,})-[0-9a-f]{8}\.jsonl")


class LedgerExport(NamedTuple):
    """A file of exported lines, and the sequence numbers of its first and last."""

    path: Path
    first: int
    last: int


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


def exports_in(folder: Path) -> list[LedgerExport]:
    """The exports in a folder, the oldest lines first; other files are left out. Empty if there is no folder."""
    named = ((path, _NAME.fullmatch(path.name)) for path in folder.glob("*.jsonl"))
    found = [LedgerExport(path, int(name[1]), int(name[2])) for path, name in named if name]
    return sorted(found, key=lambda export: (export.first, export.last, export.path.name))


def read_export(lines: Iterable[str]) -> Iterator[LedgerRow]:
    """The rows in the lines of an export. ValueError names the line that is none."""
    for number, text in enumerate(lines, 1):
        try:
            plain = json.loads(text)
            yield LedgerRow(LedgerLine.model_validate(plain["line"]), canonical(plain["effect"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"line {number} is no line of an export: {reason}") from error


def verify_rows(rows: Iterable[LedgerRow]) -> ChainCheck:
    """Follow the chain of rows and their effects to its end, or to the first row that does not fit.

    What comes before the first row is taken as given.
    """
    chain = ChainCheck()
    for row in rows:
        why = chain.fault(row.line)
        if not why and digest(row.effect) != row.line.effect:
            why = "its effect is not the one that the chain covers: it was changed"
        if why:
            return replace(chain, broken=row.line.sequence, why=why)
        chain = chain.then(row.line)
    return chain


def _exported(row: LedgerRow) -> str:
    return canonical({"line": row.line.model_dump(mode="json"), "effect": json.loads(row.effect)})
