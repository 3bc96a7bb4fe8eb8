"""Saves the sessions of running rollouts in the background, so that a restart goes on with their evidence.

No decision waits for it, not even for the saving of its own session. A crash then costs evidence, and less evidence
never moves traffic.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice

import structlog

from controller.core.control.session import Session
from controller.core.model.store_errors import StoreError
from controller.ports.archive import Archive, SavedSession
from controller.ports.clock import Clock

SAVE_EVERY = 5.0
"""Seconds between two saves of a session: what a crash costs of the evidence."""
TOGETHER = 20
"""Sessions that are saved in one go. A turn in the store's thread for each would take most of the five seconds when a
thousand rollouts run; to dump them takes a few milliseconds."""

log = structlog.get_logger()


class SessionSaver:
    """The sessions that wait to be saved, the newest of each service."""

    def __init__(
        self,
        archive: Archive,
        clock: Clock,
        on_saved: Callable[[Mapping[str, Session]], None] | None = None,
    ) -> None:
        """`on_saved` is called with the sessions that are saved, by service."""
        self._on_saved = on_saved
        self._archive = archive
        self._clock = clock
        self._waiting: dict[str, Session] = {}
        self._saved_at: dict[str, float] = {}
        self._due = asyncio.Event()

    def save_soon(self, service: str, session: Session) -> None:
        """Save the session soon, in the background."""
        self._saved_at[service] = self._clock.monotonic()
        self._waiting[service] = session
        self._due.set()

    def save_at_times(self, service: str, session: Session) -> None:
        """Save the session soon, unless one of the service was saved less than `SAVE_EVERY` ago."""
        if self._clock.monotonic() - self._saved_at.get(service, 0.0) >= SAVE_EVERY:
            self.save_soon(service, session)

    def forget(self, service: str) -> None:
        """The service is gone: save nothing of it."""
        self._waiting.pop(service, None)
        self._saved_at.pop(service, None)

    async def load(self, service: str, rollout_id: str) -> Session | None:
        """The session of that rollout as it was saved last; None if there is none that can be read.

        `StoreLost` if the store cannot be read.
        """
        text = await self._archive.load_session(service, rollout_id)
        try:
            return Session.load(text) if text else None
        except ValueError as error:
            log.warning("session_unreadable", service=service, reason=str(error))
            return None

    async def run(self) -> None:
        """Save what waits, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self.save()

    async def save(self) -> None:
        """Save what waits now, what has waited longest first."""
        while self._waiting:
            oldest = [*islice(self._waiting, TOGETHER)]
            some = [(service, self._waiting.pop(service)) for service in oldest]
            try:
                saved = {service: SavedSession(session.rollout_id, session.dump()) for service, session in some}
                done = await self._archive.save_sessions(saved)
                if self._on_saved:
                    self._on_saved({service: session for service, session in some if service in done})
            except StoreError as error:
                log.warning("sessions_dropped", services=oldest, reason=str(error))
            except Exception:
                log.exception("sessions_dropped", services=oldest)
