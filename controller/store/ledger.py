"""The ledger with its effects: replayed to the state it led to, exported as JSON lines, read back."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from controller.core.base.value import Value
from controller.core.control import commit_rules
from controller.core.model.effect import Effect
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_chain import Chain
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.store.records import canonical, digest, read, write


class BrokenLedgerError(ValueError):
    """A line that does not follow from the ones before, or an effect that is not the one its line tells of."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the ledger and the record of what its change did."""

    line: LedgerLine
    effect: str


class Everything(Value):
    """All that is stored at one revision, as one record."""

    revision: int
    services: tuple[ServiceState, ...]
    freezes: tuple[Freeze, ...]


@dataclass(frozen=True, slots=True)
class Past:
    """What the ledger has led to up to some line: the state, and the chain so far."""

    view: View
    chain: Chain

    @classmethod
    def nothing(cls, store_id: str) -> Self:
        """Before the first line."""
        return cls(View(store_id, 0, {}), Chain())

    @classmethod
    def load(cls, store_id: str, sequence: int, hash_: str, text: str) -> Self:
        """The past whose `dump` this is, after the line of that sequence and hash; `Unreadable` if it cannot be."""
        kept = read(Everything, text)
        view = View(store_id, kept.revision, {s.name: s for s in kept.services}, kept.freezes)
        return cls(view, Chain(sequence, 1, sequence, hash_))

    def dump(self) -> str:
        """The state as one record."""
        services = tuple(self.view.services.values())
        return write(Everything(revision=self.view.revision, services=services, freezes=self.view.freezes))

    def then(self, row: Row) -> "Past":
        """One line later; `BrokenLedgerError` if it is not the next, `Unreadable` if its effect cannot be read."""
        line = row.line
        why = self.chain.fault(line)
        if not why and not self.chain.lines and line.sequence > 1:
            why = "the lines before it are missing"
        if not why and digest(row.effect) != line.effect:
            why = "its effect is not the one that the chain covers: it was changed"
        if why:
            raise BrokenLedgerError(f"line {line.sequence}: {why}")
        return Past(commit_rules.after(self.view, read(Effect, row.effect), line.revision), self.chain.then(line))


def replay(rows: Iterable[Row], start: Past) -> Past:
    """The state after doing everything in these rows again. Its view is the stored one, if the rows are all."""
    for row in rows:
        start = start.then(row)
    return start


def export(rows: Iterable[Row], folder: Path) -> Path:
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


def read_export(lines: Iterable[str]) -> Iterator[Row]:
    """The rows in the lines of an export; `BrokenLedgerError` names the line (of the text) that is none."""
    for number, text in enumerate(lines, 1):
        try:
            plain = json.loads(text)
            yield Row(LedgerLine.model_validate(plain["line"]), canonical(plain["effect"]))
        except (ValueError, TypeError, KeyError, ValidationError) as error:
            raise BrokenLedgerError(f"line {number} of the text is not of an export: {error}") from None


def _exported(row: Row) -> str:
    return canonical({"line": row.line.model_dump(mode="json"), "effect": json.loads(row.effect)})


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
