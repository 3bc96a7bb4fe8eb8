"""The distributed store: etcd. Several controllers share it, and one of them decides. Implements
`ports.store.Backend`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.member import Writes
from controller.core.model.store_errors import StoreError, StoreLost
from controller.core.model.view import View
from controller.ports.archive import SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Term
from controller.ports.store_health import StoreHealth
from controller.store.etcd import last_known, lease_term
from controller.store.etcd.archive import EtcdArchive
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.commits import Commits
from controller.store.etcd.follower import Follower
from controller.store.etcd.keys import Keys
from controller.store.etcd.lease_term import LeaseTerm
from controller.store.etcd.ledger_cache import LedgerCache
from controller.store.etcd.ledger_trim import LedgerTrim
from controller.store.etcd.member_records import MemberRecords
from controller.store.etcd.opening import open_state
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.etcd.schema_gate import SchemaGate
from controller.store.etcd.state_folder import StateFolder
from controller.store.etcd.transaction import applied_of
from controller.store.ledger_retention import Exports, Retention
from controller.store.view_broadcast import CLOSED

KEEP = 10_000
"""Lines of the ledger that stay in the store."""
CHUNK = 500
"""Lines trimmed at a time."""
log = structlog.get_logger()


class Limits(NamedTuple):
    """How much of the ledger is kept in the store and as files, and how long a term lasts beyond its last renewal, in
    seconds."""

    keep: int = KEEP
    ttl: int = lease_term.TTL
    retention: Retention = Retention()


class EtcdStore:
    """Everything in etcd; in this process the newest state that was seen, which is served while etcd is away."""

    shared = True

    def __init__(
        self,
        client: EtcdClient,
        keys: Keys,
        state: ReplicatedState,
        *,
        clock: Clock,
        folder: StateFolder,
        limits: "Limits",
    ) -> None:
        self.health = StoreHealth()
        self._client = client
        self._keys = keys
        self._clock = clock
        self._limits = limits
        self._too_long = limits.keep
        self.members = MemberRecords(client, keys, limits.ttl)
        self._folder = folder
        self._follower = Follower(client, keys, state, folder.last_known, self.health)
        self._gate = SchemaGate(self.members, self._follower)
        self._commits = Commits(client, keys, self._follower, clock)
        self._ledger = LedgerCache(client, keys)
        self._trim = LedgerTrim(client, keys, self._ledger, folder.ledger)
        self._exports = Exports(folder.ledger, limits.retention)
        self._archive = EtcdArchive(client, keys, state.view.store_id)
        self._term: LeaseTerm | None = None
        self._closed = False
        self._following = asyncio.create_task(self._follow())
        self._tidying: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        client: EtcdClient,
        prefix: str,
        *,
        clock: Clock,
        folder: Path,
        limits: "Limits | None" = None,
        init: bool = False,
    ) -> Self:
        """The store below that prefix, which is made if it is not there. Takes the client over.

        While etcd does not answer, or holds what does not follow from it, the last state that was seen is served, from
        `folder` on this machine's disk; with `init` it does not count. `Unusable` if there is neither, or if another
        controller uses that folder. Lines of the ledger beyond the limit are exported into it by whoever leads.
        """
        keys = Keys(prefix)
        try:
            own = StateFolder.take(folder)
        except BaseException:
            await client.close()
            raise
        try:
            state, lost = await open_state(client, keys, None if init else last_known.load(own.last_known))
        except BaseException:
            own.release()
            await client.close()
            raise
        store = cls(client, keys, state, clock=clock, folder=own, limits=limits or Limits())
        if lost:
            log.warning("last_known_served", revision=state.view.revision, store=state.view.store_id)
            store.health.failed(lost, writing=False)
        return store

    async def close(self) -> None:
        """Give the term up and end every watch. Every later call raises `StoreLost`; a second close does nothing."""
        if self._closed:
            return
        if self._term:
            await self._term.give_up()
        await self.members.withdraw()
        self._closed = True
        self._follower.views.end()
        tasks = [self._following, *([self._tidying] if self._tidying else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._commits.close()
        await self._client.close()
        self._folder.release()

    async def load(self) -> View:
        """Everything, as the quorum has it. `StoreLost` while there is none."""
        async with self._noted(writing=False):
            await self._follower.catch_up()
        return self._follower.views.view

    async def probe(self) -> None:
        """Store something that changes nothing."""
        async with self._noted(writing=True):
            await self._client.put(f"{self._keys.prefix}/probe", b"")

    def newest(self) -> View:
        """The newest view that is known here."""
        return self._follower.views.view

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        return self._follower.views.watch(after)

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change and return the revision."""
        (revision,) = await self._apply([change], token)
        return revision

    async def command(self, change: Change) -> int:
        """Apply an operator's change, on any replica, and return the revision."""
        (revision,) = await self._apply([change], None)
        return revision

    async def command_all(self, changes: Sequence[Change]) -> list[int]:
        """Apply operators' changes in this order, all of them or none, and return the revision of each."""
        return await self._apply(changes, None)

    async def campaign(self, who: str) -> Term:
        """Wait until nobody decides, and begin the next term. The one before of this replica ends."""
        self._check_open()
        if self._term and not self._term.is_revoked:
            await self._term.give_up()
        about: dict[str, object] = {"who": who, "since": self._clock.wall()}
        while True:
            await self._follower.check()
            await self._gate.opened()
            self._term = await lease_term.campaign(self._client, self._keys, about, self._limits.ttl)
            try:
                await self._gate.check()  # while it waited, a controller of another schema may have come
                await self._commits.mark_schema()
            except StoreError as error:
                log.info("term_not_used", reason=str(error))
                await self._term.give_up()
                continue
            self._archive.token = self._term.token
            return self._term

    async def resign(self, term: Term) -> None:
        """Give a term up, so that another replica need not wait for it to run out."""
        if term is self._term and self._term:
            await self._term.give_up()
            if self._term.is_revoked:  # else the next campaign ends the lease, and need not wait for it
                self._term = None
        term.end()

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied and its ledger line is not trimmed."""
        await self._commits.settled(change_id)
        async with self._noted(writing=False):
            found = await self._client.range(self._keys.change(change_id))
        return applied_of(found.kvs[0].value) if found.kvs else None

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first: of all, or those that concern one service."""
        async with self._noted(writing=False):
            await self._ledger.read()
        return await self._ledger.lines(service, after, limit)

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        """Keep the newest session of each service's rollout; what cannot be kept is dropped, and logged."""
        self._check_open()
        return await self._archive.save_sessions(sessions)

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        self._check_open()
        return await self._archive.load_session(service, rollout_id)

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout; one that cannot be kept is dropped, and logged."""
        self._check_open()
        await self._archive.save_recording(rollout_id, recording)

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        self._check_open()
        return await self._archive.load_recording(rollout_id)

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence. `NotWritten` once the term is over."""
        self._check_open()
        await self._archive.save_cursor(reader, sequence)

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a new reader."""
        self._check_open()
        return await self._archive.load_cursor(reader)

    async def _follow(self) -> None:
        """Follow; end the term once records are stored that this version cannot read."""

        async def end_when_outdated() -> None:
            await self._follower.outdated.wait()
            self.members.writes = Writes.TOO_OLD
            if self._term:
                await self._term.give_up()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follower.run())
            tasks.create_task(end_when_outdated())

    async def _apply(self, changes: Sequence[Change], token: int | None) -> list[int]:
        for change in changes:
            commit_rules.check_sound(change)
        if not self._closed:
            await self._gate.check()
        async with self._noted(writing=True):
            revisions = await self._commits.apply(changes, token)
        self._tidy_soon()
        return revisions

    def _check_open(self) -> None:
        if self._closed:
            raise StoreLost(CLOSED)

    @contextlib.asynccontextmanager
    async def _noted(self, *, writing: bool) -> AsyncIterator[None]:
        """Note in the health what comes of a call."""
        self._check_open()
        try:
            yield
        except StoreError as error:
            if not self._closed:
                self.health.failed(error, writing=writing)
            raise
        # Otherwise nothing can be relied on, whatever etcd answers.
        if not self._follower.outdated.is_set() and not self._follower.contradicted:
            self.health.succeeded(writing=writing)

    def _tidy_soon(self) -> None:
        term = self._term
        if term and not term.over and (self._tidying is None or self._tidying.done()):
            self._tidying = asyncio.create_task(self._tidy(term.token))

    async def _tidy(self, token: int) -> None:
        """Trim the ledger while it is too long. A failure is logged, and tried again a chunk later."""
        chunk = min(CHUNK, max(20, self._limits.keep // 20))

        async def commit(change: Change) -> None:
            await self._apply([change], token)

        try:
            await self._ledger.read()
            while len(self._ledger) >= self._too_long + chunk:
                await self._trim.trim(chunk, self._follower.state.view.store_id, token, commit)
                self._too_long = self._limits.keep
                await asyncio.to_thread(self._exports.delete_old, self._clock.wall())
        except (StoreError, ValueError, OSError) as error:
            self._too_long = max(self._too_long, len(self._ledger))
            log.warning("ledger_not_trimmed", reason=str(error))
