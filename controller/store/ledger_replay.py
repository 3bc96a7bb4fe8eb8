"""The ledger with its effects, replayed to the state that it led to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from controller.core.base.value import Value
from controller.core.control import commit_rules
from controller.core.model.effect import Effect
from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Freeze
from controller.core.model.ledger_chain import ChainCheck
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.store.records import digest, read, write


class BrokenLedgerError(ValueError):
    """A line does not follow from the ones before, or its effect is not the one that its hash covers."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A line of the ledger and the record of what its change did."""

    line: LedgerLine
    effect: str


class StateRecord(Value):
    """Everything that is stored at one revision, as one record."""

    revision: int
    services: tuple[ServiceState, ...]
    freezes: tuple[Freeze, ...]
    exclusions: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state that the ledger led to, up to some line, and the hash chain so far."""

    view: View
    chain: ChainCheck

    @classmethod
    def empty(cls, store_id: str) -> Self:
        """Before the first line."""
        return cls(View(store_id, 0, {}), ChainCheck())

    @classmethod
    def load(cls, store_id: str, sequence: int, hash_: str, text: str) -> Self:
        """The checkpoint whose `dump` this is, after the line of that sequence and hash. `Unreadable` if it is none."""
        kept = read(StateRecord, text)
        services = {state.name: state for state in kept.services}
        view = View(store_id, kept.revision, services, kept.freezes, exclusions=kept.exclusions)
        return cls(view, ChainCheck(sequence, 1, sequence, hash_))

    def dump(self) -> str:
        """The state as one record."""
        view = self.view
        record = StateRecord(
            revision=view.revision,
            services=tuple(view.services.values()),
            freezes=view.freezes,
            exclusions=view.exclusions,
        )
        return write(record)

    def then(self, row: LedgerRow) -> "Checkpoint":
        """The checkpoint one line later.

        `BrokenLedgerError` if that line is not the next, `Unreadable` if its effect cannot be read.
        """
        line = row.line
        why = self.chain.fault(line)
        if not why and not self.chain.lines and line.sequence > 1:
            why = "the lines before it are missing"
        if not why and digest(row.effect) != line.effect:
            why = "its effect is not the one that the chain covers: it was changed"
        if why:
            raise BrokenLedgerError(f"line {line.sequence}: {why}")
        return Checkpoint(commit_rules.after(self.view, read(Effect, row.effect), line.revision), self.chain.then(line))


def replay(rows: Iterable[LedgerRow], start: Checkpoint) -> Checkpoint:
    """The checkpoint after these rows, begun at `start`. If they are all the rows, its view is the stored one."""
    for row in rows:
        start = start.then(row)
    return start
