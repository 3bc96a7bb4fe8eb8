"""A change: one act as it is put to the store, applied whole or not at all."""

from dataclasses import dataclass

from controller.core.model.exclusion import Exclusion
from controller.core.model.freeze import Act, Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.service_state import ServiceState


@dataclass(frozen=True, slots=True)
class Change:
    """One act, applied whole or not at all: a record swapped, freezes set or lifted, and one line of the ledger.

    `id` makes a retry safe: a second change with the same id and the same `fingerprint` is answered with the first
    one's revision; with another fingerprint it is refused. `expects` is the revision of the service's record that
    the change was decided on, 0 for 'there is none', None where no record is concerned. `state` None with `service`
    set and `delete` true removes the record. A freeze in `freeze` stands beside those that are there, or renews
    one. `lift` holds the freezes to end, each as it was read: if one was renewed or is gone, the change is a Conflict.
    `exclude` excludes a proxy, or replaces its exclusion; `include` is the node id of one that is no longer excluded.
    """

    id: str
    fingerprint: str
    act: Act
    entry: Entry
    service: str = ""
    expects: int | None = None
    state: ServiceState | None = None
    delete: bool = False
    freeze: tuple[Freeze, ...] = ()
    lift: tuple[Freeze, ...] = ()
    exclude: Exclusion | None = None
    include: str = ""

    @property
    def is_essential(self) -> bool:
        """Whether it has to be stored on a full disk too: what stops traffic or moves it from harm, and its end."""
        return bool(self.freeze or self.lift) or self.act.is_urgent or self.entry.kind == LedgerKind.ROLLED_BACK
