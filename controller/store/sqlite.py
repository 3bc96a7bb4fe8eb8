"""The embedded store: one SQLite file, one writer thread, one controller. Implements `ports.store.Backend`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import structlog

from controller.core.model.actor import CONTROLLER
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.store_errors import DiskFull, StoreError, StoreLost, Unusable
from controller.core.model.view import View
from controller.ports.archive import MAX_RECORDING, MAX_SESSION, SavedSession
from controller.ports.clock import Clock
from controller.ports.store import Term
from controller.ports.store_health import StoreHealth
from controller.store.database import Database
from controller.store.file_lock import FileLock
from controller.store.first_start import is_first_start, remove_unfinished
from controller.store.ledger_retention import Exports, Retention
from controller.store.ledger_trimming import export_oldest, trim_change
from controller.store.local_members import LocalMembers
from controller.store.reserve import Reserve
from controller.store.sqlite_file import NEEDS
from controller.store.store_thread import StoreThread
from controller.store.view_broadcast import CLOSED, ViewBroadcast

KEEP = 10_000
"""Lines of the ledger that stay in the store. A retry is safe while the change's line is among them."""

CHUNKS = 20
SMALLEST_CHUNK = 20
"""A twentieth of `KEEP` is trimmed at a time, and at least `SMALLEST_CHUNK` lines."""

PATIENCE = 5.0
"""Seconds after which a call fails if the disk does not answer. Less than a client's deadline of 10 s."""

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class SqliteStore:
    """Everything in one file. Every call runs in one thread, one after the other, the urgent ones first."""

    def __init__(
        self, database: Database, lock: FileLock, clock: Clock, exports: Path, keep: int, patience: float
    ) -> None:
        self.shared = False
        """Set where further processes follow this one (`workers`): then proxies report to each of them."""
        self._database = database
        self._lock = lock
        self._clock = clock
        self._exports = Exports(exports, Retention())
        self._keep = self._too_long = keep
        self._views = ViewBroadcast(database.view)
        self.health = StoreHealth()
        self.members = LocalMembers()
        self._closed = False
        self._thread = StoreThread(patience)
        self._tidying: asyncio.Task[None] | None = None
        self._term: Term | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Clock,
        keep: int = KEEP,
        patience: float = PATIENCE,
        reserve: int = 0,
        init: bool = False,
    ) -> Self:
        """The store in that file. `Unusable` says what is wrong and what to do.

        It is made where none ever was, in a folder that is there; with `init` wherever none is.

        `keep` lines of the ledger stay in it; older ones are exported into the folder PATH-ledger, then trimmed.
        No call takes much longer than `patience` seconds, whatever the disk does. `reserve` bytes are set aside for
        rollbacks and freezes on a full disk; a file that is there already is opened and served on a full disk too.
        For a local disk only: file locks and SQLite's shared memory do not work on network file systems.
        """
        real = path.resolve()  # beside which SQLite has its log
        try:
            new = is_first_start(real, init=init)
            if new:
                real.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock.take(real)
        except OSError as error:
            raise Unusable(
                f"{path} cannot be used ({error.strerror}: {error.filename or path}): choose a writable place with "
                "HALDANE_STORE=sqlite:PATH"
            ) from error
        full: DiskFull | None = None
        try:
            database = Database.open(path, Reserve(real, reserve))
            try:
                database.begin_term()
                database.probe()
            except DiskFull as error:
                full = error
            except StoreLost as lost:
                database.close()
                raise Unusable(f"{path} cannot be used: {lost.__cause__}. {NEEDS}") from lost
        except BaseException:
            if new:
                remove_unfinished(real)
            lock.release()
            raise
        if new:
            log.info("store_created", path=str(path))
        store = cls(database, lock, clock, real.with_name(real.name + "-ledger"), keep, patience)
        if full:
            store.health.failed(full, writing=True)
        return store

    async def close(self) -> None:
        """Close the file. Every watch ends, and every later call raises `StoreLost`; a second close does nothing.

        While the disk hangs, or once something else has written to the file, it stays open until the process ends.
        """
        if self._closed:
            return
        self._closed = True
        self._views.end()
        if self._tidying:
            self._tidying.cancel()
            await asyncio.wait([self._tidying])
        try:
            closed = await self._thread.do(self._database.close)
        except StoreLost as lost:
            log.warning("store_not_closed", reason=str(lost))
            return
        if not closed:  # the thread goes on: it is what keeps the connection until the process ends
            log.warning("store_not_closed", reason=self.health.problem)
            return
        self._thread.end()
        self._lock.release()

    def keep_exports(self, retention: Retention) -> None:
        """Delete the exports of the ledger beyond the retention, now and after each later export."""
        self._exports = Exports(self._exports.folder, retention)
        self._exports.delete_old(self._clock.wall())

    async def load(self) -> View:
        """Everything at one revision; `StoreLost` while the file is in doubt, or is not what is served."""
        await self._run_first(self._database.check)
        return self._views.view

    async def probe(self) -> None:
        """Store something that changes nothing, and set aside what is missing of the reserve."""
        await self._do(self._database.probe, writes=True)

    def newest(self) -> View:
        """The newest view that is known, without asking the disk."""
        return self._views.view

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        return self._views.watch(after)

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change and return the revision. One transaction compares token, revision and freezes."""
        return await self._apply(change, token)

    async def command(self, change: Change) -> int:
        """Apply an operator's change and return the revision. Compares expected revision and freezes."""
        return await self._apply(change, None)

    async def command_all(self, changes: Sequence[Change]) -> list[int]:
        """Apply operators' changes in this order, all of them or none, and return the revision of each."""
        revisions = await self._do(partial(self._database.apply_all, changes, self._clock.wall()), writes=True)
        self._tidy_soon()
        return revisions

    async def campaign(self, who: str) -> Term:
        """The next term, at once, since no other process has the file. The previous one ends."""
        token = await self._do(self._database.begin_term, writes=True)
        if self._term:
            self._term.end()
        self._term = Term(token)
        self.members.begin(self._term, who, self._clock.wall())
        return self._term

    async def resign(self, term: Term) -> None:
        """Give a term up. No other process waits for it, since none has the file."""
        term.end()

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied and its ledger line is not trimmed."""
        return await self._run_first(self._database.applied, change_id)

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first: of all, or those that concern one service."""
        return await self._run(self._database.events, service, after, limit)

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        """Keep the newest session of each service's rollout; what cannot be kept is dropped, and logged."""
        kept = {service: session for service, session in sessions.items() if len(session.text) <= MAX_SESSION}
        for service in sessions.keys() - kept.keys():
            log.warning("session_dropped", service=service, reason=f"longer than {MAX_SESSION} characters")
        if not kept:
            return ()
        try:
            await self._save(self._database.save_sessions, kept)
        except StoreLost as lost:
            if not self.health.problem:  # which is logged once, and not for each session
                log.warning("sessions_dropped", services=[*kept], reason=str(lost))
            return ()
        return kept.keys()

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        return await self._run(self._database.load_session, service, rollout_id)

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout; one that cannot be kept is dropped, and logged."""
        why = f"larger than {MAX_RECORDING} bytes" if len(recording) > MAX_RECORDING else ""
        try:
            if not why:
                await self._save(self._database.save_recording, rollout_id, recording)
        except StoreLost as lost:
            why = "" if self.health.problem else str(lost)
        if why:
            log.warning("recording_dropped", rollout=rollout_id, reason=why)

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        return await self._run(self._database.load_recording, rollout_id)

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence."""
        await self._save(self._database.save_cursor, reader, sequence)

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a reader that is new."""
        return await self._run(self._database.load_cursor, reader)

    async def _apply(self, change: Change, token: int | None) -> int:
        urgent = bool(change.freeze) or change.act.is_urgent
        work = partial(self._database.apply, change, token, self._clock.wall())
        revision = await self._do(work, urgent=urgent, writes=True)
        self._tidy_soon()
        return revision

    def _tidy_soon(self) -> None:
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        """Trim the ledger while it is too long. A failure is logged, and tried again a chunk later."""
        chunk = max(SMALLEST_CHUNK, self._keep // CHUNKS)
        length = 0
        try:
            while (length := await self._run(self._database.ledger_length)) >= self._too_long + chunk:
                await self._trim(chunk)
                self._too_long = self._keep
        except (StoreLost, ValueError, OSError) as error:
            self._too_long = max(self._too_long, length)
            log.warning("ledger_not_trimmed", reason=str(error))

    async def _trim(self, lines: int) -> None:
        """Export the oldest lines, then delete them.

        In several small jobs, the longest outside the thread, so that no change waits for all of it.
        """
        rows = await self._run(self._database.rows, lines)
        before = await self._run(self._database.checkpoint)
        checkpoint, path = await asyncio.to_thread(export_oldest, rows, before, self._exports.folder)
        change = trim_change(checkpoint, path, who=CONTROLLER)
        await self._do(partial(self._database.trim, checkpoint, change, self._clock.wall()), writes=True)
        log.info("ledger_trimmed", lines=lines, exported=str(path))
        await asyncio.to_thread(self._exports.delete_old, self._clock.wall())

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read in the store's thread, in turn."""
        return await self._do(partial(work, *args, **kwargs))

    async def _run_first(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read before all that waits: what freezes and acts that move traffic away from harm begin with."""
        return await self._do(partial(work, *args, **kwargs), urgent=True)

    async def _do(self, work: Callable[[], T], *, urgent: bool = False, writes: bool = False) -> T:
        """Do it in the thread, urgent work first, and note in the health what came of it."""
        try:
            result = await self._in_thread(work, urgent=urgent)
        except StoreError as error:
            if not self._closed:
                self.health.failed(error, writing=writes)
            raise
        if writes and self._database.problem:
            self.health.failed(DiskFull(self._database.problem), writing=True)
        else:
            self.health.succeeded(writing=writes)
        return result

    async def _save(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write what may be lost: neither that it fits nor that it does not says anything of changes."""
        await self._in_thread(partial(work, *args, **kwargs), urgent=False)

    async def _in_thread(self, work: Callable[[], T], *, urgent: bool) -> T:
        """Do it in the thread, and publish the view that it led to before the call returns."""
        if self._closed:
            raise StoreLost(CLOSED)
        loop = asyncio.get_running_loop()

        def do() -> T:
            try:
                return work()
            finally:
                with contextlib.suppress(RuntimeError):  # the loop may have ended while the disk hung
                    loop.call_soon_threadsafe(self._views.publish, self._database.view)

        return await self._thread.do(do, urgent=urgent)
