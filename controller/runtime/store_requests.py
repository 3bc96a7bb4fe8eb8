"""The store as operators' requests use it: what it answers, with each of its errors as the `Refusal` that they get."""

import uuid
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from controller.core.base.errors import Code, Refusal
from controller.core.control.request_validation import validate_request_id
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.service_state import ServiceState
from controller.core.model.store_errors import Conflict, Frozen, NotWritten, ReusedId, StoreLost, TooLarge
from controller.core.model.view import View
from controller.ports.store import Store

T = TypeVar("T")

UNANSWERED = "the store does not answer"


def new_change_id(request_id: str) -> str:
    """The id of the change that a request leads to: the request's own, by which a retry is recognised, or a new one."""
    validate_request_id(request_id)
    return request_id or uuid.uuid4().hex


class StoreRequests:
    """Reads and commands of one store. Every method raises `Refusal`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def store_problem(self) -> str:
        """Why nothing can be read or stored now; empty while everything can."""
        return self._store.health.problem

    @property
    def is_unread(self) -> bool:
        """Whether the store did not answer the last time that it was read."""
        return self._store.health.is_unread

    def newest(self) -> View:
        """The newest view that is known here, at once. Raises nothing."""
        return self._store.newest()

    async def view(self) -> View:
        """Everything, as the store has it now."""
        try:
            return await self._store.load()
        except StoreLost as lost:
            raise Refusal(Code.NOT_DURABLE, f"{UNANSWERED}: {lost}") from lost

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Lines of the ledger, oldest first."""
        try:
            return await self._store.events(service=service, after=after, limit=limit)
        except StoreLost as lost:
            raise Refusal(Code.NOT_DURABLE, f"{UNANSWERED}: {lost}") from lost

    async def applied_at(self, request_id: str, fingerprint: str) -> int:
        """The revision at which this very request was applied before; 0 if it was not."""
        validate_request_id(request_id)
        try:
            applied = await self._store.applied(request_id) if request_id else None
        except StoreLost as lost:
            raise Refusal(Code.NOT_DURABLE, f"{UNANSWERED}: {lost}") from lost
        if applied is None:
            return 0
        if applied.fingerprint != fingerprint:
            raise Refusal(Code.REQUEST_ID_REUSED, f"request id {request_id!r} was used for another request")
        return applied.revision

    async def command(self, change: Change) -> int:
        """Apply an operator's change and return the revision.

        The refusal says whether it was surely not applied, or perhaps was.
        """
        return await self._refusing(change, self._store.command(change))

    async def command_all(self, changes: Sequence[Change]) -> int:
        """Apply operators' changes, all or none, and return the last revision.

        The refusal says whether they were surely not applied, or perhaps were.
        """
        return max(await self._refusing(changes[0], self._store.command_all(changes)))

    async def _refusing(self, change: Change, work: Awaitable[T]) -> T:
        """What the store answers, with its errors as refusals; they name that change where they need one."""
        try:
            return await work
        except Frozen as frozen:
            raise Refusal(Code.FROZEN, str(frozen)) from frozen
        except Conflict as conflict:
            cause = await self._last_change_since(change) or str(conflict)
            raise Refusal(Code.CONFLICT, f"another act was faster: {cause}") from conflict
        except ReusedId as reused:
            raise Refusal(Code.REQUEST_ID_REUSED, str(reused)) from reused
        except TooLarge as large:
            raise Refusal(Code.TOO_MANY, f"too much at once, nothing was changed: {large}") from large
        except NotWritten as lost:
            raise Refusal(Code.NOT_DURABLE, f"not durable, nothing was changed: {lost}") from lost
        except StoreLost as lost:
            advice = f"Send the same request with request_id {change.id} to learn what became of it"
            raise Refusal(Code.NOT_DURABLE, f"not durable yet, perhaps later: {lost}. {advice}") from lost

    async def state_at(self, service: str, revision: int) -> ServiceState:
        """The service's state as the store has it now, at `revision` or later."""
        return find_state(await self.view_at(revision), service)

    async def view_at(self, revision: int) -> View:
        """A view at `revision` or later: at once if it is known here already."""
        view = self._store.newest()
        if view.revision >= revision:
            return view
        try:
            view = await self._store.load()
        except StoreLost as lost:
            raise Refusal(Code.NOT_DURABLE, f"applied at revision {revision}, then {UNANSWERED}: {lost}") from lost
        if view.revision < revision:
            raise Refusal(Code.NOT_DURABLE, f"the store went back from revision {revision} to {view.revision}")
        return view

    async def _last_change_since(self, change: Change) -> str:
        """What happened to the service last since the change was decided on; empty if that is not known."""
        if change.expects is None:
            return ""
        try:
            # Each line's number is the revision that it made.
            lines = await self._store.events(service=change.service, after=change.expects)
        except StoreLost:
            return ""
        entries = [line.entry for line in lines if line.entry.services == (change.service,)]
        if not entries:
            return ""
        last = entries[-1]
        return f"{last.kind} by {last.actor.described}, {last.why or 'without a reason'}"


def find_state(view: View, service: str) -> ServiceState:
    """The service's state in a view; `Refusal` if it is not there or its record cannot be read."""
    state = view.services.get(service)
    if state is None:
        broken = view.broken.get(service)
        raise Refusal(Code.NOT_FOUND, f"{service}: {broken}" if broken else f"there is no service {service!r}")
    return state
