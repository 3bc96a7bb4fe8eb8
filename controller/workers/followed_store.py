"""The store as a worker has it: what the first process publishes. Implements `ports.store.Backend`, read only."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Never, Protocol

from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import NotWritten, StoreLost
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.ports.members import Members
from controller.ports.store import Term
from controller.ports.store_health import StoreHealth
from controller.process.backoff import backoff
from controller.store.view_broadcast import ViewBroadcast

FIRST_VIEW_WITHIN = 10.0
"""Seconds until a worker must have its first view: the first process answers when it starts one."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two attempts to follow the first process."""
NOT_HERE = "a worker stores nothing: the first process does"


class Views(Protocol):
    """What the first process publishes."""

    def views(self) -> AsyncIterator[View]:
        """The newest view, then each that follows, of which some may be left out. `StoreLost` ends it."""
        ...


class FollowedStore:
    """The newest view that came. Whatever would write, or read more, raises an error."""

    shared = True

    def __init__(self, members: Members) -> None:
        self.health = StoreHealth()
        self.members = members
        self._broadcast: ViewBroadcast | None = None
        self._begun = asyncio.Event()

    async def follow(self, first: Views) -> None:
        """Take up what the first process publishes, until cancelled."""
        pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            try:
                async for view in first.views():
                    self._take(view)
                    pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
            except StoreLost as lost:
                self.health.failed(lost, writing=False)
            await asyncio.sleep(next(pauses))

    async def load(self) -> View:
        """The newest view, once there is one. `StoreLost` if none comes in time."""
        try:
            async with asyncio.timeout(FIRST_VIEW_WITHIN):
                await self._begun.wait()
        except TimeoutError:
            raise StoreLost(f"no view of the first process within {FIRST_VIEW_WITHIN:g} s") from None
        return self.newest()

    async def probe(self) -> None:
        """Nothing: the first process probes the store."""

    async def close(self) -> None:
        """End every watch."""
        if self._broadcast:
            self._broadcast.end()

    def newest(self) -> View:
        """The newest view that came."""
        return self._broadcast.view if self._broadcast else View("", 0, {})

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest view each time there is one newer than `after`. After the first `load`."""
        assert self._broadcast is not None  # `load` has returned
        return self._broadcast.watch(after)

    async def commit(self, _change: Change, _token: int) -> int:
        """`NotWritten`."""
        return _refuse()

    async def command(self, _change: Change) -> int:
        """`NotWritten`."""
        return _refuse()

    async def command_all(self, _changes: Sequence[Change]) -> list[int]:
        """`NotWritten`."""
        return _refuse()

    async def campaign(self, _who: str) -> Term:
        """`NotWritten`: a worker never decides."""
        return _refuse()

    async def resign(self, term: Term) -> None:
        """End it."""
        term.end()

    async def applied(self, _change_id: str) -> Applied | None:
        """`NotWritten`: what became of a change, the first process knows."""
        return _refuse()

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """`NotWritten`: the first process has the ledger."""
        return _refuse()

    async def save_sessions(self, _sessions: Mapping[str, SavedSession]) -> Collection[str]:
        """`NotWritten`."""
        return _refuse()

    async def load_session(self, _service: str, _rollout_id: str) -> str | None:
        """`NotWritten`."""
        return _refuse()

    async def save_recording(self, _rollout_id: str, _recording: bytes) -> None:
        """`NotWritten`."""
        _refuse()

    async def load_recording(self, _rollout_id: str) -> bytes | None:
        """`NotWritten`."""
        return _refuse()

    async def save_cursor(self, _reader: str, _sequence: int) -> None:
        """`NotWritten`."""
        _refuse()

    async def load_cursor(self, _reader: str) -> int | None:
        """`NotWritten`."""
        return _refuse()

    def _take(self, view: View) -> None:
        if self._broadcast is None:
            self._broadcast = ViewBroadcast(view)
            self._begun.set()
        self._broadcast.publish(view)
        self.health.succeeded(writing=False)


def _refuse() -> Never:
    raise NotWritten(NOT_HERE)
