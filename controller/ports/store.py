"""The one place where decisions become true."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.view import View


@dataclass(frozen=True, slots=True)
class Term:
    """The right to decide. `token` rises with every term, so a late write of an older one is refused."""

    token: int


class Store(Protocol):
    """The one place where decisions become true. The same promises by every backend, tested by one suite."""

    shared: bool
    """Whether several controllers may have it open at once, so that one may be ahead of the others."""

    async def load(self) -> View:
        """Everything at one revision."""
        ...

    def newest(self) -> View:
        """The newest view that is known, at once: nothing is asked, so while the store is away it may be old."""
        ...

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        ...

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change: the revision. In one transaction compares token, expected revision, freezes."""
        ...

    async def command(self, change: Change) -> int:
        """Apply an operator's change, on any replica: the revision. Compares expected revision and freezes."""
        ...

    async def campaign(self, who: str) -> Term:
        """Become the one who decides; returns when that is so."""
        ...

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied: what makes a retry safe, and settles a `StoreLost`."""
        ...

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first, of one service or ("") of all."""
        ...
