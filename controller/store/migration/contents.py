"""Everything that a store holds, as a value that any backend can be filled with, and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controller.core.model.store_errors import Unusable
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.store.ledger_replay import BrokenLedgerError, Checkpoint, LedgerRow, replay
from controller.store.records import Unreadable, digest


class StoredRow(NamedTuple):
    """A line of the ledger, its effect as it is stored, and the fingerprint of its change."""

    row: LedgerRow
    fingerprint: str


class SetAside(NamedTuple):
    """A record that could not be read and was set aside when another one took its place."""

    service: str
    revision: int
    record: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything at one revision. The checkpoint is what the trimmed part of the ledger led to."""

    view: View
    checkpoint: Checkpoint
    rows: tuple[StoredRow, ...]
    sessions: Mapping[str, SavedSession]
    """By service."""
    recordings: tuple[tuple[str, bytes], ...]
    """With the id of each rollout, the oldest first."""
    cursors: Mapping[str, int]
    quarantine: tuple[SetAside, ...] = ()

    def check(self) -> None:
        """`Unusable` unless every record can be read and the ledger leads to exactly this state."""
        for service, why in self.view.broken.items():
            raise Unusable(f"has a record that cannot be read, of the service {service}: {why}")
        try:
            replayed = replay((each.row for each in self.rows), self.checkpoint)
        except (BrokenLedgerError, Unreadable) as error:
            raise Unusable(f"has a broken ledger: {error}") from error
        if replayed.view != self.view:
            raise Unusable("does not hold what its ledger says")

    @property
    def state_digest(self) -> str:
        """SHA-256 of every service, freeze and exclusion with its revision, whatever the backend."""
        return digest(Checkpoint(self.view, self.checkpoint.chain).dump())

    @property
    def last(self) -> tuple[int, str]:
        """The ledger's last line: its sequence, and its hash, which covers every line before it."""
        if not self.rows:
            return self.checkpoint.chain.last, self.checkpoint.chain.hash
        line = self.rows[-1].row.line
        return line.sequence, line.hash

    def differences(self, other: "Contents") -> Sequence[str]:
        """In what another store is not a copy of this one, but for its id. Empty if it is."""
        compared = {
            "state": (self.state_digest, other.state_digest),
            "ledger": (self.rows, other.rows),
            "ledger's end": (self.last, other.last),
            "checkpoint": (self.checkpoint.dump(), other.checkpoint.dump()),
            "sessions": (dict(self.sessions), dict(other.sessions)),
            "recordings": (self.recordings, other.recordings),
            "cursors": (dict(self.cursors), dict(other.cursors)),
            "quarantine": (sorted(self.quarantine), sorted(other.quarantine)),
        }
        return [name for name, (mine, others) in compared.items() if mine != others]
