"""The ledger's lines other than decisions: reports lost and back, an unhealthy stable, a NACK, a freeze that expired.

Lines wait here until the store takes them, so that no decision waits for them.
"""

import uuid
from collections import deque
from collections.abc import Collection, Iterable

from pydantic import JsonValue

from controller.core.model.actor import CONTROLLER
from controller.core.model.change import Change
from controller.core.model.freeze import Act, Freeze, describe_remaining, freezes_over
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.service_state import ServiceState
from controller.ports.store import Store

MAX_LINES_A_CYCLE = 10
"""Lines written at most in one cycle, so that a decision does not wait for them."""
MAX_WAITING = 1000
"""Lines that wait at most while the store is away; beyond it the oldest are dropped."""


class LedgerWriter:
    """Writes the lines of one term, with its token. A condition has one line when it begins and one when it ends."""

    def __init__(self, store: Store, token: int) -> None:
        self._store = store
        self._token = token
        self._waiting: deque[Change] = deque(maxlen=MAX_WAITING)
        self._holds: set[tuple[str, LedgerKind]] = set()

    def append(self, entry: Entry) -> None:
        """Write this line soon."""
        self._waiting.append(_change(entry))

    def update(
        self, state: ServiceState, begins: LedgerKind, ends: LedgerKind, *, holds: bool | None, why: str
    ) -> None:
        """Record whether a condition of a service holds; None if nothing new is known of it.

        When it begins, a line of kind `begins` is written, and one of kind `ends` when it ends.
        """
        if holds is None or holds == ((state.name, begins) in self._holds):
            return
        (self._holds.add if holds else self._holds.discard)((state.name, begins))
        self.note(state, begins if holds else ends, why)

    def note(self, state: ServiceState, kind: LedgerKind, why: str, **details: JsonValue) -> None:
        """Write a line soon about a service whose weights do not move."""
        self.append(
            Entry(
                kind=kind,
                services=(state.name,),
                who=CONTROLLER,
                why=why,
                weights_before=state.weights,
                weights_after=state.weights,
                details=details,
            )
        )

    def forget_all_but(self, services: Collection[str]) -> None:
        """Forget the conditions of the services that are gone."""
        self._holds = {held for held in self._holds if held[0] in services}

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    async def write(self) -> None:
        """Write some of what waits. `StoreError` leaves the rest waiting.

        A line that was written although its answer was lost is not written twice, since its change keeps its id.
        """
        for _ in range(min(MAX_LINES_A_CYCLE, len(self._waiting))):
            await self._store.commit(self._waiting[0], self._token)
            self._waiting.popleft()

    async def expire(self, freeze: Freeze, standing: Iterable[Freeze]) -> None:
        """End a freeze whose time is over; the line names which of `standing` go on.

        `Conflict` if the freeze is no longer in force, otherwise as `Store.commit`.
        """
        await self._store.commit(expiry(freeze, standing), self._token)


def expiry(freeze: Freeze, standing: Iterable[Freeze]) -> Change:
    """The end of a freeze whose time is over, and of no other."""
    others = freezes_over((f for f in standing if f != freeze), [freeze.scope])
    why = f"its ttl is over: {freeze.reason}{describe_remaining(others)}"
    return _change(Entry(kind=LedgerKind.FREEZE_EXPIRED, services=(freeze.scope,), who=CONTROLLER, why=why), freeze)


def _change(entry: Entry, *lift: Freeze) -> Change:
    return Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry, lift=lift)
