"""Stores whose answers a test takes away."""

import asyncio
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_line import Entry, LedgerLine
from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Term
from controller.store.memory import MemoryStore


class FaultyStore(MemoryStore):
    """A memory store with faults that are switched on and off.

    While it is `away`, reads and operators' changes fail; while it is `full`, automation's changes fail. While it is
    `mute`, a change is applied but its answer is lost. While it is `hung`, its ledger does not answer. With
    `together`, that many readers see the same view before any of them acts on it.
    """

    away = False
    full = False
    hung = False
    mute = False
    together: asyncio.Barrier | None = None

    async def load(self) -> View:
        self._check_reachable()
        view = await super().load()
        if self.together:
            await self.together.wait()
            self.together = None
        return view

    async def probe(self) -> None:
        self._check_reachable()
        if self.full:
            self._fail("the disk is full", writing=True)
        await super().probe()

    async def commit(self, change: Change, token: int) -> int:
        if self.full:
            self._fail("the disk is full", writing=True)
        return self._answer(await super().commit(change, token))

    async def command(self, change: Change) -> int:
        self._check_reachable()
        return self._answer(await super().command(change))

    async def command_all(self, changes: Sequence[Change]) -> list[int]:
        self._check_reachable()
        return [self._answer(revision) for revision in await super().command_all(changes)]

    async def applied(self, change_id: str) -> Applied | None:
        self._check_reachable()
        return await super().applied(change_id)

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        self._check_reachable()
        if self.hung:
            await asyncio.sleep(3600)
        return await super().events(service=service, after=after, limit=limit)

    def write(self, entry: Entry) -> None:
        """Write a line into the ledger, whether anyone can reach the store or not."""
        self._apply(Change(uuid.uuid4().hex, "written by a test", Act.RECORD, entry), None)

    def _check_reachable(self) -> None:
        if self.away:
            self._fail("the disk is away", writing=False)
        self.health.succeeded(writing=False)

    def _answer(self, revision: int) -> int:
        if self.mute:
            self._fail("no answer", writing=True)
        self.health.succeeded(writing=True)
        return revision

    def _fail(self, why: str, *, writing: bool) -> NoReturn:
        lost = StoreLost(why)
        self.health.failed(lost, writing=writing)
        raise lost


class ElectedStore(MemoryStore):
    """A memory store that grants terms while `terms` is set, and holds automation's commits back until `commits` is."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.terms, self.commits = asyncio.Event(), asyncio.Event()
        self.terms.set()
        self.commits.set()
        self.saved: list[str] = []
        """The rollout ids of the sessions that were saved, in order."""

    async def campaign(self, who: str) -> Term:
        await self.terms.wait()
        return await super().campaign(who)

    async def commit(self, change: Change, token: int) -> int:
        await self.commits.wait()
        return await super().commit(change, token)

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        self.saved += [session.rollout_id for session in sessions.values()]
        return await super().save_sessions(sessions)

    def depose(self) -> None:
        """End the term, and grant no other one."""
        self.terms.clear()
        self.end_term()
