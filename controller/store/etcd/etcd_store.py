"""The distributed store: etcd. Several controllers share it, and one of them decides. Implements
`ports.store.Backend`.

A change is checked against the state as this replica knows it, and applied by a transaction that compares when the head
was written: if another change came first, it is checked again against that. So what was checked is what was stored.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import grpc
import structlog

from controller.core.control import commit_rules
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import Conflict, NotWritten, StoreError, StoreLost, Unusable
from controller.core.model.view import View
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.ports.archive import KEPT_RECORDINGS, MAX_RECORDING, MAX_SESSION, SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Term
from controller.ports.store_health import StoreHealth
from controller.process.backoff import backoff
from controller.process.fault_points import reach
from controller.store.etcd import lease_term
from controller.store.etcd.client import PATIENCE, Compacted, EtcdClient, Lost, prefix_end
from controller.store.etcd.keys import Keys, packed, unpacked
from controller.store.etcd.lease_term import LeaseTerm
from controller.store.etcd.ledger_cache import LedgerCache
from controller.store.etcd.replicated_state import ReplicatedState, apply_events, load_state
from controller.store.etcd.transaction import Standing, applied_of, barrier, plan, questions, standing, transaction
from controller.store.etcd.turns import Turns
from controller.store.ledger_replay import Checkpoint
from controller.store.ledger_trimming import export_oldest, trim_change
from controller.store.view_broadcast import CLOSED, ViewBroadcast

KEEP = 10_000
"""Lines of the ledger that stay in the store."""
CHUNK = 500
"""Lines trimmed at a time."""
COMPARE_EVERY = 5.0
"""Seconds between two questions to the quorum whether the watch still brings everything."""
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
        exports: Path,
        limits: "Limits",
    ) -> None:
        self.health = StoreHealth()
        self._client = client
        self._keys = keys
        self._state = state
        self._clock = clock
        self._exports = exports
        self._keep = self._too_long = limits.keep
        self._ttl = limits.ttl
        self._views = ViewBroadcast(state.view)
        self._moved = asyncio.Event()
        self._turns = Turns()
        self._ledger = LedgerCache(client, keys)
        self._term: LeaseTerm | None = None
        self._closed = False
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._compare())]
        self._tidying: asyncio.Task[None] | None = None
        self._under_way: dict[str, asyncio.Task[list[int]]] = {}
        """By change id: the changes that are being applied."""

    @classmethod
    async def open(
        cls,
        client: EtcdClient,
        prefix: str,
        *,
        clock: Clock,
        exports: Path,
        limits: "Limits | None" = None,
    ) -> Self:
        """The store below that prefix, which is made if it is not there. Takes the client over. `Unusable` if etcd does
        not answer.

        Lines of the ledger beyond the limit are exported into the folder `exports` of whoever leads.
        """
        keys = Keys(prefix)
        try:
            state = await _load(client, keys, await _store_id(client, keys))
        except StoreError as error:
            await client.close()
            raise Unusable(f"etcd cannot be used: {error}") from error
        return cls(client, keys, state, clock=clock, exports=exports, limits=limits or Limits())

    async def close(self) -> None:
        """Give the term up and end every watch. Every later call raises `StoreLost`; a second close does nothing."""
        if self._closed:
            return
        if self._term:
            await self._term.give_up()
        self._closed = True
        self._views.end()
        tasks = [*self._tasks, *([self._tidying] if self._tidying else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    async def load(self) -> View:
        """Everything, as the quorum has it. `StoreLost` while there is none."""
        async with self._noted(writing=False):
            await self._catch_up()
        return self._views.view

    async def probe(self) -> None:
        """Store something that changes nothing."""
        async with self._noted(writing=True):
            await self._client.put(f"{self._keys.prefix}/probe", b"")

    def newest(self) -> View:
        """The newest view that is known here."""
        return self._views.view

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        return self._views.watch(after)

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
        self._term = await lease_term.campaign(self._client, self._keys, about, self._ttl)
        return self._term

    async def resign(self, term: Term) -> None:
        """Give a term up, so that another replica need not wait for it to run out."""
        if term is self._term and self._term:
            await self._term.give_up()
            self._term = None
        term.end()

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied and its ledger line is not trimmed."""
        if task := self._under_way.get(change_id):  # of a caller that has gone
            await asyncio.wait([task])
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

    async def _apply(self, changes: Sequence[Change], token: int | None) -> list[int]:
        for change in changes:
            commit_rules.check_sound(change)
        urgent = any(change.freeze or change.act.is_urgent for change in changes)

        async def commit() -> list[int]:
            async with self._turns.turn(urgent=urgent):
                return await self._commit(changes, token)

        async with self._noted(writing=True):
            # What has begun is brought to its end also if the caller has gone.
            task = asyncio.ensure_future(commit())
            for change in changes:
                self._under_way[change.id] = task
            task.add_done_callback(lambda _: self._forget(changes))
            revisions = await asyncio.shield(task)
        self._tidy_soon()
        return revisions

    def _forget(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._under_way.pop(change.id, None)

    async def _commit(self, changes: Sequence[Change], token: int | None) -> list[int]:
        """Apply them to the newest state, again and again while others come first."""
        known: Mapping[str, Applied] = {}
        asked = False
        deadline = time.monotonic() + PATIENCE
        while True:
            before = self._state
            try:
                plans, after = plan(before, changes, self._clock.wall(), known)
            except StoreError:
                if asked:
                    raise
                # What is known here may be old: a refusal is given only against what the quorum has.
                asked, answer = True, await self._ask(changes)
            else:
                if all(each.effect is None for each in plans):
                    return [each.revision for each in plans]
                reach("commit:before", changes[0].entry.kind)
                done = await self._send(transaction(self._keys, before, after, plans, token), before, changes, deadline)
                if isinstance(done, int):
                    self._take(ReplicatedState(after.view, after.end, done))
                    reach("commit:after", changes[-1].entry.kind)
                    return [each.revision for each in plans]
                answer = done
            known = answer.applied
            if token is not None and len(known) < len(changes):
                commit_rules.check_token(token, answer.epoch)
            if answer.head_mod > self._state.head_mod:
                await self._wait_for(answer.head_mod)
            if time.monotonic() > deadline:
                raise Conflict("too many other changes came first: try again")

    async def _ask(self, changes: Sequence[Change]) -> Standing:
        """What stands now, as the quorum has it. `Lost` without an answer."""
        return standing(await self._client.txn(questions(self._keys, changes)), changes)

    async def _send(
        self, request: pb.TxnRequest, before: ReplicatedState, changes: Sequence[Change], deadline: float
    ) -> int | Standing:
        """Do the transaction: etcd's revision of it, or what stands where it was not applied.

        If its answer is lost, a write of the head settles whether it was. `StoreLost` if nothing can.
        """
        try:
            response = await self._client.txn(request)
        except Lost as lost:
            return await self._settle(lost, before, changes, deadline)
        except grpc.aio.AioRpcError as error:
            raise NotWritten(f"etcd refuses it: {error.details()}") from error
        if response.succeeded:
            return int(response.header.revision)
        return standing(response, changes)

    async def _settle(
        self, lost: Lost, before: ReplicatedState, changes: Sequence[Change], deadline: float
    ) -> int | Standing:
        """Find out what became of a transaction, once it can no longer be applied."""
        for pause in backoff(0.05, 0.5):
            try:
                response = await self._client.txn(barrier(self._keys, before, changes))
            except Lost as again:
                if time.monotonic() > deadline:
                    raise StoreLost(str(again)) from lost
                await asyncio.sleep(pause)
                continue
            if response.succeeded:
                self._take(ReplicatedState(before.view, before.end, response.header.revision))
                return Standing(response.header.revision, self._term.token if self._term else 0, {})
            return standing(response, changes)
        raise AssertionError("unreachable")

    async def _catch_up(self) -> None:
        """Wait until the state is what the quorum has."""
        if self._closed:
            raise StoreLost(CLOSED)
        head = await self._client.range(self._keys.head)
        if head.kvs and head.kvs[0].mod_revision > self._state.head_mod:
            await self._wait_for(head.kvs[0].mod_revision)

    async def _wait_for(self, head_mod: int) -> None:
        """Wait for the watch to bring that head; if it does not, read everything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while self._state.head_mod < head_mod:
                    await self._moved.wait()
        if self._state.head_mod < head_mod:
            self._take(await _load(self._client, self._keys, self._state.view.store_id))

    def _take(self, state: ReplicatedState) -> None:
        """Go on from that state, unless a newer one is here already."""
        if state.head_mod <= self._state.head_mod:
            return
        self._state = state
        self._views.publish(state.view)
        self._moved.set()
        self._moved = asyncio.Event()

    async def _follow(self) -> None:
        """Take every change of others in, until cancelled."""
        pauses = backoff(0.1, 2.0)
        while True:
            try:
                watch = self._client.watch(self._keys.state, self._state.head_mod + 1)
                async with contextlib.aclosing(watch) as responses:
                    async for response in responses:
                        pauses = backoff(0.1, 2.0)
                        news = [each for each in response.events if each.kv.mod_revision > self._state.head_mod]
                        if news:
                            self._take(apply_events(self._state, news, self._keys))
            except Compacted:
                with contextlib.suppress(StoreLost):
                    self._take(await _load(self._client, self._keys, self._state.view.store_id))
            except StoreLost as lost:
                log.info("watch_lost", reason=str(lost))
            except Exception:
                log.exception("watch_failed")
            await asyncio.sleep(next(pauses))

    async def _compare(self) -> None:
        """Compare with the quorum now and then: a watch that hangs must not go unnoticed. Until cancelled."""
        while True:
            await asyncio.sleep(COMPARE_EVERY)
            with contextlib.suppress(StoreLost):  # which the health has noted
                await self.load()

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
        before = Checkpoint.empty(self._state.view.store_id)
        if stored:
            sequence, hash_, text = unpacked(stored).split("\n", 2)
            before = Checkpoint.load(self._state.view.store_id, int(sequence), hash_, text)
        checkpoint, path = await asyncio.to_thread(export_oldest, rows, before, self._exports)
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


async def _store_id(client: EtcdClient, keys: Keys) -> str:
    """The store's id, which is made if there is none."""
    found = await client.range(keys.store_id)
    if not found.kvs:
        put = pb.PutRequest(key=keys.store_id.encode(), value=str(uuid.uuid4()).encode())
        absent = pb.Compare(target=pb.Compare.VERSION, key=keys.store_id.encode(), version=0)
        with contextlib.suppress(Lost):  # the next answer tells whether it was made
            await client.txn(pb.TxnRequest(compare=[absent], success=[pb.RequestOp(request_put=put)]))
        found = await client.range(keys.store_id)
    if not found.kvs:
        raise Lost("etcd did not take the store's id")
    return found.kvs[0].value.decode()


async def _load(client: EtcdClient, keys: Keys, store_id: str) -> ReplicatedState:
    """Everything at one revision."""
    found = await client.range(keys.state, prefix_end(keys.state))
    return load_state(store_id, found.kvs, keys)


def _deletion(key: str) -> pb.RequestOp:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key.encode()))
