"""Counts each operator's decision that was applied, once: also one whose outcome was unknown at first."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from controller.core.control.decision import Decision
from controller.core.model.change import Change
from controller.core.model.store_errors import StoreLost
from controller.ports.store import Store
from controller.process.periodic import every

EVERY = 1.0
"""Seconds between two reads of what became of changes whose outcome is unknown."""
REMEMBERED = 1000
"""Revisions that were counted last. The same request twice is at most seconds apart."""


class OutcomeCounter:
    """Calls `count` with the service and the decision, once for each revision."""

    def __init__(self, store: Store, count: Callable[[str, Decision], None]) -> None:
        self._store = store
        self._count = count
        self._unknown: dict[str, tuple[Change, Decision]] = {}
        self._counted: deque[int] = deque(maxlen=REMEMBERED)

    def applied(self, revision: int, change: Change, decision: Decision) -> None:
        """The decision was applied at that revision."""
        self._unknown.pop(change.id, None)
        if revision not in self._counted:
            self._counted.append(revision)
            self._count(change.service, decision)

    def unknown(self, change: Change, decision: Decision) -> None:
        """The change was perhaps applied: `run` finds out."""
        self._unknown[change.id] = change, decision

    async def run(self) -> None:
        """Find out what became of the changes whose outcome is unknown, until cancelled."""
        await every(EVERY, self._resolve)

    async def _resolve(self) -> None:
        for change, decision in tuple(self._unknown.values()):
            with suppress(StoreLost):
                applied = await self._store.applied(change.id)
                if applied and applied.fingerprint == change.fingerprint:
                    self.applied(applied.revision, change, decision)
                self._unknown.pop(change.id, None)
