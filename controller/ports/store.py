"""The store: the one place where decisions are committed, and the right to decide.

A decision takes effect when the store commits it; this replica sees it in the next view, like every other.

Every method may raise one of the errors of `core.model.store_errors`. What each means for a write:

| raised | the change |
|---|---|
| `Conflict`, `Frozen`, `ReusedId` | was refused: surely not applied |
| `NotWritten` | surely not applied: the same change may be sent again |
| `TooLarge` | surely not applied: what is sent together must become less |
| `StoreLost` (any other) | perhaps applied: `applied(change.id)` tells, and a retry with the same id is safe |
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.view import View
from controller.ports.archive import Archive
from controller.ports.cursors import Cursors
from controller.ports.members import Members
from controller.ports.store_health import StoreHealth


class Term:
    """The right to decide, until it ends. The store that granted it also ends it.

    `token` rises with every term of a store, so a late write of an earlier term is refused.
    """

    def __init__(self, token: int) -> None:
        self.token = token
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether the term has ended."""
        return self._over.is_set()

    def end(self) -> None:
        """Called by the store: another replica may decide from now on."""
        self._over.set()

    async def ended(self) -> None:
        """Wait until the term has ended. Raises nothing."""
        await self._over.wait()


class Store(Protocol):
    """The one place where decisions become true. Every backend keeps the same promises, tested by one suite."""

    shared: bool
    """Whether several controllers may have it open at once, so that one may be ahead of the others."""
    health: StoreHealth
    """What every call below notes, whoever made it."""

    async def load(self) -> View:
        """Everything at one revision. `StoreLost` if the store cannot be read."""
        ...

    async def probe(self) -> None:
        """Find out whether changes are stored, by a write that changes nothing. `StoreLost` if they are not."""
        ...

    def newest(self) -> View:
        """The newest view that is known here, at once: it may be old while the store is away. Raises nothing."""
        ...

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back.

        `StoreLost` ends the iterator: call `watch` again with the last revision that was seen.
        """
        ...

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change and return the revision. One transaction compares token, revision and freezes.

        `Conflict` (also if the token's term is over), `Frozen`, `ReusedId`, `NotWritten`: surely not applied.
        `StoreLost`: perhaps applied.
        """
        ...

    async def command(self, change: Change) -> int:
        """Apply an operator's change, on any replica, and return the revision. Compares expected revision and freezes.

        `Conflict`, `Frozen`, `ReusedId`, `NotWritten`: surely not applied. `StoreLost`: perhaps applied.
        """
        ...

    async def command_all(self, changes: Sequence[Change]) -> list[int]:
        """Apply operators' changes in this order, all of them or none, and return the revision of each.

        As `command`; an error is that of the first change that has one.
        """
        ...

    async def campaign(self, who: str) -> Term:
        """Wait until `who`, a controller's instance id, may decide, and return its term. Called again after each
        term, it gives the next one.

        `StoreLost` if the store is away: perhaps a term has begun whose token is lost.
        """
        ...

    async def resign(self, term: Term) -> None:
        """Give a term up, so that another replica need not wait for it to run out. Does nothing if it is over.

        Raises nothing: a term that cannot be given up runs out.
        """
        ...

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied: makes a retry safe, and resolves a `StoreLost`.

        `StoreLost` if the store cannot be read.
        """
        ...

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first, of one service or ("") of all.

        `StoreLost` if the store cannot be read.
        """
        ...


class Backend(Store, Archive, Cursors, Protocol):
    """What a store backend gives: the store, and besides it what may be lost without harm."""

    @property
    def members(self) -> Members:
        """The controllers that have it open."""
        ...

    async def close(self) -> None:
        """Give everything back. Every watch ends with `StoreLost`, and so does every later call."""
        ...
