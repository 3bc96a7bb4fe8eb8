"""The distributed store: etcd. Several controllers share it, and one of them decides. Implements
`ports.store.Backend`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.member import Writes
from controller.core.model.store_errors import StoreError, StoreLost, Unusable
from controller.core.model.view import View
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.archive import KEPT_RECORDINGS, MAX_RECORDING, MAX_SESSION, SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Term
from controller.ports.store_health import StoreHealth
from controller.store.etcd import last_known, lease_term
from controller.store.etcd.client import EtcdClient, prefix_end
from controller.store.etcd.commits import Commits
from controller.store.etcd.follower import Follower, read_state, read_store_id
from controller.store.etcd.keys import Keys, packed, unpacked
from controller.store.etcd.lease_term import LeaseTerm
from controller.store.etcd.ledger_cache import LedgerCache
from controller.store.etcd.member_records import MemberRecords
from controller.store.etcd.replicated_state import ReplicatedState
from controller.store.etcd.schema_gate import SchemaGate
from controller.store.etcd.transaction import applied_of
from controller.store.ledger_replay import Checkpoint
from controller.store.ledger_trimming import export_oldest, trim_change
from controller.store.view_broadcast import CLOSED

KEEP = 10_000
"""Lines of the ledger that stay in the store."""
CHUNK = 500
"""Lines trimmed at a time."""
LAST_KNOWN, LEDGER = "last-known.json", "ledger"
"""The copy, and the folder of the exported ledger, in the store's folder on this machine."""
IDS_AT_ONCE = 100
"""Keys that are deleted in one transaction."""

log = structlog.get_logger()


class Limits(NamedTuple):
    """How much of the ledger is kept, and how long a term lasts beyond its last renewal, in seconds."""

    keep: int = KEEP
    ttl: int = lease_term.TTL


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
        folder: Path,
        limits: "Limits",
    ) -> None:
        self.health = StoreHealth()
        self._client = client
        self._keys = keys
        self._clock = clock
        self._folder = folder
        self._keep = self._too_long = limits.keep
        self._ttl = limits.ttl
        self.members = MemberRecords(client, keys, limits.ttl)
        self._follower = Follower(client, keys, state, folder / LAST_KNOWN, self.health)
        self._gate = SchemaGate(self.members, self._follower)
        self._commits = Commits(client, keys, self._follower, clock)
        self._ledger = LedgerCache(client, keys)
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
    ) -> Self:
        """The store below that prefix, which is made if it is not there. Takes the client over.

        While etcd does not answer, the last state that was seen is served, from `folder` on this machine's disk.
        `Unusable` if there is none. Lines of the ledger beyond the limit are exported into that folder by whoever
        leads.
        """
        keys = Keys(prefix)
        lost: StoreError | None = None
        try:
            state: ReplicatedState | None = await read_state(client, keys, await read_store_id(client, keys))
        except StoreError as error:
            lost, state = error, last_known.load(folder / LAST_KNOWN)
        if state is None:
            await client.close()
            raise Unusable(f"etcd cannot be used, and nothing was served here before: {lost}") from lost
        store = cls(client, keys, state, clock=clock, folder=folder, limits=limits or Limits())
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
        if self._closed:
            raise StoreLost(CLOSED)
        if self._term:
            await self._term.give_up()
        about: dict[str, object] = {"who": who, "since": self._clock.wall()}
        while True:
            await self._gate.opened()
            self._term = await lease_term.campaign(self._client, self._keys, about, self._ttl)
            try:
                await self._gate.check()  # while it waited, a controller of another schema may have come
                await self._commits.mark_schema()
            except StoreError as error:
                log.info("term_not_used", reason=str(error))
                await self._term.give_up()
                continue
            return self._term

    async def resign(self, term: Term) -> None:
        """Give a term up, so that another replica need not wait for it to run out."""
        if term is self._term and self._term:
            await self._term.give_up()
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
        return self._ledger.lines(service, after, limit)

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> None:
        """Keep the newest session of each service's rollout; what cannot be kept is dropped, and logged."""
        for service, session in sessions.items():
            if len(session.text) > MAX_SESSION:
                log.warning("session_dropped", service=service, reason=f"longer than {MAX_SESSION} characters")
                continue
            try:
                await self._save(self._keys.session(service), packed(f"{session.rollout_id}\n{session.text}"))
            except StoreLost as lost:
                log.warning("sessions_dropped", services=[service], reason=str(lost))

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        found = await self._read(self._keys.session(service))
        kept_id, _, text = unpacked(found).partition("\n") if found else ("", "", "")
        return text if found and kept_id == rollout_id else None

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout; one that cannot be kept is dropped, and logged."""
        if len(recording) > MAX_RECORDING:
            log.warning("recording_dropped", rollout=rollout_id, reason=f"larger than {MAX_RECORDING} bytes")
            return
        prefix = self._keys.recordings
        try:
            await self._save(prefix + rollout_id, recording)
            await self._drop_oldest_recordings()
        except StoreLost as lost:
            log.warning("recording_dropped", rollout=rollout_id, reason=str(lost))

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        return await self._read(self._keys.recordings + rollout_id)

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence."""
        await self._save(self._keys.cursor(reader), str(sequence).encode())

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a new reader."""
        found = await self._read(self._keys.cursor(reader))
        return int(found) if found else None

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

    async def _save(self, key: str, value: bytes) -> None:
        """Write what may be lost: it says nothing of changes."""
        if self._closed:
            raise StoreLost(CLOSED)
        await self._client.put(key, value)

    async def _read(self, key: str) -> bytes | None:
        if self._closed:
            raise StoreLost(CLOSED)
        found = await self._client.range(key)
        return found.kvs[0].value if found.kvs else None

    async def _drop_oldest_recordings(self) -> None:
        prefix = self._keys.recordings
        kept = await self._client.range(prefix, prefix_end(prefix), keys_only=True)
        for kv in sorted(kept.kvs, key=lambda kv: kv.create_revision)[: max(0, len(kept.kvs) - KEPT_RECORDINGS)]:
            await self._client.delete(kv.key.decode())

    @contextlib.asynccontextmanager
    async def _noted(self, *, writing: bool) -> AsyncIterator[None]:
        """Note in the health what comes of a call."""
        if self._closed:
            raise StoreLost(CLOSED)
        try:
            yield
        except StoreError as error:
            if not self._closed:
                self.health.failed(error, writing=writing)
            raise
        if not self._follower.outdated.is_set():  # then nothing can be relied on, whatever etcd answers
            self.health.succeeded(writing=writing)

    def _tidy_soon(self) -> None:
        if self._term and not self._term.over and (self._tidying is None or self._tidying.done()):
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        """Trim the ledger while it is too long. A failure is logged, and tried again a chunk later."""
        chunk = min(CHUNK, max(20, self._keep // 20))
        try:
            await self._ledger.read()
            while len(self._ledger) >= self._too_long + chunk:
                await self._trim(chunk)
                self._too_long = self._keep
        except (StoreError, ValueError, OSError) as error:
            self._too_long = max(self._too_long, len(self._ledger))
            log.warning("ledger_not_trimmed", reason=str(error))

    async def _trim(self, lines: int) -> None:
        """Export the oldest lines, then delete them."""
        rows = self._ledger.oldest_rows(lines)
        stored = await self._read(self._keys.checkpoint)
        before = Checkpoint.empty(self._follower.state.view.store_id)
        if stored:
            sequence, hash_, text = unpacked(stored).split("\n", 2)
            before = Checkpoint.load(self._follower.state.view.store_id, int(sequence), hash_, text)
        checkpoint, path = await asyncio.to_thread(export_oldest, rows, before, self._folder / LEDGER)
        # First it is said, then done: what is trimmed twice is trimmed once.
        await self.command(trim_change(checkpoint, path, who="haldane"))
        chain = checkpoint.chain
        await self._client.put(self._keys.checkpoint, packed(f"{chain.last}\n{chain.hash}\n{checkpoint.dump()}"))
        await self._client.delete(self._keys.line(0), self._keys.line(chain.last + 1))
        for start in range(0, len(rows), IDS_AT_ONCE):
            ids = [row.line.change_id for row in rows[start : start + IDS_AT_ONCE]]
            await self._client.txn(pb.TxnRequest(success=[_deletion(self._keys.change(each)) for each in ids]))
        self._ledger.trim(chain.last)
        log.info("ledger_trimmed", lines=len(rows), exported=str(path))


def _deletion(key: str) -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key.encode()))
