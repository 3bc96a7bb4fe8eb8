"""The embedded store: one SQLite file, one writer thread, one controller. Promises: see `ports`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

import structlog

from controller.core.view import Change, LedgerLine, View
from controller.ports import Applied, Clock, StoreLost, Term, Unusable
from controller.store.database import Database
from controller.store.ledger import export
from controller.store.lock import FileLock
from controller.store.newest import CLOSED, Newest
from controller.store.opening import NEEDS
from controller.store.rules import MAX_RECORDING, MAX_SESSION
from controller.store.trimming import trim

KEEP = 10_000
"""Lines of the ledger that stay in the store. So long, too, the id of a change is known and its retry safe."""

CHUNKS = 20
"""A twentieth of these is trimmed at once: so few that a change meanwhile waits milliseconds, not seconds."""

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class SqliteStore:
    """Everything in one file. Every act on it runs in one thread, one after the other."""

    def __init__(self, database: Database, lock: FileLock, clock: Clock, exports: Path, keep: int) -> None:
        self._database = database
        self._lock = lock
        self._clock = clock
        self._exports = exports
        self._keep = keep
        self._newest = Newest(database.view)
        self._closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="haldane-store")

    @classmethod
    def open(cls, path: Path, *, clock: Clock, keep: int = KEEP) -> Self:
        """The store in that file, made if there is none. `Unusable` says what is wrong and what to do.

        `keep` lines of the ledger stay in it; older ones are exported into the folder PATH-ledger, then trimmed.
        For a local disk only: file locks and SQLite's shared memory do not work on network file systems.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock.take(path)
        except OSError as error:
            raise Unusable(
                f"{path} cannot be used ({error.strerror}: {error.filename or path}): choose a writable place with "
                "HALDANE_STORE=sqlite:PATH"
            ) from error
        try:
            database = Database.open(path)
            try:
                database.raise_epoch()
            except StoreLost as lost:
                database.close()
                raise Unusable(f"{path} cannot be used: {lost.__cause__}. {NEEDS}") from lost
        except BaseException:
            lock.release()
            raise
        return cls(database, lock, clock, path.with_name(path.name + "-ledger"), keep)

    async def close(self) -> None:
        """Give the file back. Every watch ends, and every later call is `StoreLost`; a second close does nothing."""
        if self._closed:
            return
        self._closed = True
        self._newest.end()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()
        self._lock.release()

    async def load(self) -> View:
        """Everything at one revision; `StoreLost` while it is not known what the file says."""
        await self._run(self._database.settle)
        return self._newest.view

    def watch(self, after: int) -> AsyncIterator[View]:
        """The newest whole view each time there is one newer than `after`; may skip, never goes back."""
        return self._newest.watch(after)

    async def commit(self, change: Change, token: int) -> int:
        """Apply automation's change: the revision. In one transaction compares token, expected revision, freezes."""
        return await self._apply(change, token)

    async def command(self, change: Change) -> int:
        """Apply an operator's change: the revision. Compares expected revision and freezes."""
        return await self._apply(change, None)

    async def campaign(self, who: str) -> Term:
        """Become the one who decides: at once, since nobody else has the file. The terms before end."""
        token = await self._run(self._database.raise_epoch)
        log.info("term_begun", who=who, token=token)
        return Term(token)

    async def applied(self, change_id: str) -> Applied | None:
        """The change with that id, if it was applied and its ledger line is not trimmed."""
        return await self._run(self._database.applied, change_id)

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        """Ledger lines with sequence > `after`, oldest first: of all, or those that concern one service."""
        return await self._run(self._database.events, service, after, limit)

    async def save_session(self, service: str, rollout_id: str, session: str) -> None:
        """Keep the newest session of a service's rollout; one that cannot be kept is dropped, and logged."""
        if len(session) > MAX_SESSION:
            log.warning("session_dropped", service=service, reason=f"longer than {MAX_SESSION} characters")
            return
        try:
            await self._run(self._database.save_session, service, rollout_id, session)
        except StoreLost as lost:
            log.warning("session_dropped", service=service, reason=str(lost))

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        return await self._run(self._database.load_session, service, rollout_id)

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout; one that cannot be kept is dropped, and logged."""
        why = f"larger than {MAX_RECORDING} bytes" if len(recording) > MAX_RECORDING else ""
        try:
            if not why:
                await self._run(self._database.save_recording, rollout_id, recording)
        except StoreLost as lost:
            why = str(lost)
        if why:
            log.warning("recording_dropped", rollout=rollout_id, reason=why)

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        return await self._run(self._database.load_recording, rollout_id)

    async def save_cursor(self, reader: str, sequence: int) -> None:
        """The reader is done with every line up to that sequence."""
        await self._run(self._database.save_cursor, reader, sequence)

    async def load_cursor(self, reader: str) -> int | None:
        """The sequence saved last; None for a reader that is new."""
        return await self._run(self._database.load_cursor, reader)

    async def export(self, folder: Path) -> Path | None:
        """Write the ledger, as far as it is in the store, into a new file of that folder; None if it is empty."""
        rows = await self._run(self._database.rows)
        return await asyncio.to_thread(export, rows, folder) if rows else None

    async def _apply(self, change: Change, token: int | None) -> int:
        revision = await self._run(self._database.apply, change, token, self._clock.wall())
        if not self._closed:
            self._submit(self._tidy)
        return revision

    def _tidy(self) -> None:
        """Trim the ledger if it is too long; what stands in the way is logged, and tried again a chunk later."""
        chunk = max(1, self._keep // CHUNKS)
        try:
            length = self._database.ledger_length()
            if length >= self._keep + chunk and length % chunk == 0:
                path = trim(self._database, self._exports, lines=chunk, who="haldane", at=self._clock.wall())
                log.info("ledger_trimmed", lines=chunk, exported=str(path))
        except (StoreLost, ValueError, OSError) as error:
            log.warning("ledger_not_trimmed", reason=str(error))

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it in the thread: it is done even if the caller is cancelled meanwhile."""
        if self._closed:
            raise StoreLost(CLOSED)
        return await self._submit(work, *args, **kwargs)

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Do it in the thread and publish the view that it led to, before anybody gets the answer."""
        loop = asyncio.get_running_loop()

        def do() -> T:
            try:
                return work(*args, **kwargs)
            finally:
                loop.call_soon_threadsafe(self._newest.publish, self._database.view)

        return loop.run_in_executor(self._thread, do)
