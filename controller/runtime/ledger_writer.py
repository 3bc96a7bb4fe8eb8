"""What is written into the ledger beside decisions: sight lost and back, a stable unwell, a proxy that refused.

Lines wait here until the store takes them, so that nothing that has to be decided waits for them.
"""

import uuid
from collections import deque
from collections.abc import Iterable

from controller.core.model.change import Change
from controller.core.model.freeze import Act, Freeze, describe_standing, standing_over
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.state import ServiceState
from controller.core.model.view import View
from controller.ports.store import Store

WHO = "haldane"
"""Who the ledger names for what automation does."""
AT_ONCE = 10
"""Lines written at most between two looks, so that what has to move does not wait for what happened."""
MOST_WAITING = 1000
"""Lines that wait at most, should the store be away for long; beyond it the oldest are dropped."""


class Diary:
    """The lines of one term. A condition is told when it begins and when it ends, once each."""

    def __init__(self, store: Store, token: int) -> None:
        self._store = store
        self._token = token
        self._waiting: deque[Change] = deque(maxlen=MOST_WAITING)
        self._holding: set[tuple[str, LedgerKind]] = set()

    def note(self, entry: Entry) -> None:
        """Write this line soon."""
        self._waiting.append(_change(entry))

    def tell(self, state: ServiceState, begins: LedgerKind, ends: LedgerKind, *, holds: bool | None, why: str) -> None:
        """Note that a condition of a service begins (a line of kind `begins`, and why) or ends (kind `ends`); None if
        nothing new is known of it."""
        if holds is None or holds == ((state.name, begins) in self._holding):
            return
        (self._holding.add if holds else self._holding.discard)((state.name, begins))
        kind, weights = begins if holds else ends, state.weights
        self.note(Entry(kind=kind, service=state.name, who=WHO, why=why, weights_before=weights, weights_after=weights))

    def follow(self, view: View) -> None:
        """Forget what holds of the services that are gone."""
        self._holding = {held for held in self._holding if held[0] in view.services}

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    async def write(self) -> None:
        """Write some of what waits. `StoreError` leaves the rest waiting; what was written all the same is not
        written twice, since its id stays."""
        for _ in range(min(AT_ONCE, len(self._waiting))):
            await self._store.commit(self._waiting[0], self._token)
            self._waiting.popleft()

    async def expire(self, freeze: Freeze, standing: Iterable[Freeze]) -> None:
        """End a freeze whose time is over, and tell which of `standing` go on; `Conflict` if it is not in force."""
        await self._store.commit(expiry(freeze, standing), self._token)


def expiry(freeze: Freeze, standing: Iterable[Freeze]) -> Change:
    """The end of a freeze whose time is over, and of no other."""
    others = standing_over((f for f in standing if f != freeze), [freeze.scope])
    why = f"its ttl is over: {freeze.reason}{describe_standing(others)}"
    return _change(Entry(kind=LedgerKind.FREEZE_EXPIRED, service=freeze.scope, who=WHO, why=why), freeze)


def _change(entry: Entry, *lift: Freeze) -> Change:
    return Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry, lift=lift)
