"""The store in memory: every promise of `ports.store.Backend` but durability. For tests."""

import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import ChainEnd, LedgerLine
from controller.core.model.view import View
from controller.ports.archive import KEPT_RECORDINGS, MAX_RECORDING, MAX_SESSION, SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Term
from controller.ports.store_health import StoreHealth
from controller.store.local_members import LocalMembers
from controller.store.records import digest, write
from controller.store.view_broadcast import ViewBroadcast


class MemoryStore:
    """Everything in this process. No call waits, so each is complete before the next begins."""

    shared = True

    def __init__(self, *, clock: Clock) -> None:
        self.health = StoreHealth()
        self.members = LocalMembers()
        self._clock = clock
        self._views = ViewBroadcast(View(str(uuid.uuid4()), 0, {}))
        self._epoch = 0
        self._term: Term | None = None
        self._lines: list[LedgerLine] = []
        self._applied: dict[str, Applied] = {}
        self._sessions: dict[str, SavedSession] = {}
        self._recordings: dict[str, bytes] = {}
        self._cursors: dict[str, int] = {}

    async def close(self) -> None:
        """End every watch."""
        self._views.end()

    async def load(self) -> View:
        """Everything at one revision."""
        return self._views.view

    async def probe(self) -> None:
        """Changes are stored always."""
        self.health.succeeded(writing=True)

    def newest(self) -> View:
        """The newest view."""
        return self._views.view

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        return self._views.watch(after)

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change and return the revision."""
        return self._apply(change, token)

    async def command(self, change: Change) -> int:
        """Apply an operator's change and return the revision."""
        return self._apply(change, None)

    async def command_all(self, changes: Sequence[Change]) -> list[int]:
        """Apply operators' changes in this order, all of them or none, and return the revision of each."""
        return self._apply_all(changes, None)

    async def campaign(self, who: str) -> Term:
        """The next term, at once. The one before ends."""
        self.end_term()
        self._term = Term(self._epoch)
        self.members.begin(self._term, who, self._clock.wall())
        return self._term

    async def resign(self, term: Term) -> None:
        """Give a term up."""
        if term is self._term:
            self.end_term()

    def end_term(self) -> None:
        """End the current term without a successor; later writes of its holder are rejected."""
        self._epoch += 1
        if self._term:
            self._term.end()
            self._term = None

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied."""
        return self._applied.get(change_id)

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first: of all, or those that concern one service."""
        newer = self._lines[max(after, 0) :]
        return [line for line in newer if not service or line.entry.concerns(service)][:limit]

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        """Keep the newest session of each service's rollout, unless it is beyond the bound."""
        kept = {service: each for service, each in sessions.items() if len(each.text) <= MAX_SESSION}
        self._sessions |= kept
        return kept.keys()

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        kept_id, session = self._sessions.get(service, SavedSession("", ""))
        return session if kept_id == rollout_id else None

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout, unless it is beyond the bound; forget the oldest ones."""
        if len(recording) <= MAX_RECORDING:
            self._recordings[rollout_id] = recording
        while len(self._recordings) > KEPT_RECORDINGS:
            del self._recordings[next(iter(self._recordings))]

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        return self._recordings.get(rollout_id)

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence."""
        self._cursors[reader] = sequence

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a reader that is new."""
        return self._cursors.get(reader)

    def _apply(self, change: Change, token: int | None) -> int:
        revisions = self._apply_all([change], token)
        return revisions[0]

    def _apply_all(self, changes: Sequence[Change], token: int | None) -> list[int]:
        for change in changes:
            commit_rules.check_sound(change)
        length, view, revisions = len(self._lines), self._views.view, []
        try:
            for change in changes:
                view, revision = self._append(view, change, token)
                revisions.append(revision)
        except BaseException:
            for line in self._lines[length:]:
                del self._applied[line.change_id]
            del self._lines[length:]
            raise
        for change in changes if view is not self._views.view else ():
            if change.delete:
                self._sessions.pop(change.service, None)
        self._views.publish(view)
        return revisions

    def _append(self, view: View, change: Change, token: int | None) -> tuple[View, int]:
        """Add a change's line to the ledger: the view after it, and its revision."""
        earlier = self._applied.get(change.id)
        if earlier:
            return view, commit_rules.check_repeated(change, earlier)
        if token is not None:
            commit_rules.check_token(token, self._epoch)
        present = view.services.get(change.service)
        commit_rules.check_change(change, present.revision if present else 0, view.freezes)
        revision = view.revision + 1
        effect = commit_rules.effect_of(change, revision, view.freezes)
        line = LedgerLine.after(
            ChainEnd(len(self._lines), self._lines[-1].hash) if self._lines else ChainEnd(),
            revision=revision,
            at=self._clock.wall(),
            change_id=change.id,
            entry=change.entry,
            effect=digest(write(effect)),
        )
        self._lines.append(line)
        self._applied[change.id] = Applied(revision, change.fingerprint)
        return commit_rules.after(view, effect, revision), revision
