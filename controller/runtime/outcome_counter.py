"""Tells of each operator's decision that came true, once: also of one whose answer was lost."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from controller.core.control.decision import Decision
from controller.core.model.change import Change
from controller.core.model.store_errors import StoreLost
from controller.ports.store import Store

EVERY = 1.0
"""Seconds between two questions about what is unsure."""
REMEMBERED = 1000
"""Revisions that were told of last. The same request twice is at most seconds apart."""


class Tally:
    """`told` hears of the service and the decision."""

    def __init__(self, store: Store, told: Callable[[str, Decision], None]) -> None:
        self._store = store
        self._told = told
        self._unsure: dict[str, tuple[Change, Decision]] = {}
        self._known: deque[int] = deque(maxlen=REMEMBERED)

    def done(self, revision: int, change: Change, decision: Decision) -> None:
        """The decision came true at that revision."""
        self._unsure.pop(change.id, None)
        if revision not in self._known:
            self._known.append(revision)
            self._told(change.service, decision)

    def unsure(self, change: Change, decision: Decision) -> None:
        """Nobody heard what became of the change: `run` will ask."""
        self._unsure[change.id] = change, decision

    async def run(self) -> None:
        """Ask the store what became of what is unsure, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            for change, decision in tuple(self._unsure.values()):
                with suppress(StoreLost):
                    applied = await self._store.applied(change.id)
                    if applied and applied.fingerprint == change.fingerprint:
                        self.done(applied.revision, change, decision)
                    self._unsure.pop(change.id, None)
