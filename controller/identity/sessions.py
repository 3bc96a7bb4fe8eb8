"""Who is logged in to the console."""

import hashlib
import secrets
from typing import NamedTuple

from controller.core.access.principal import Principal
from controller.ports.clock import Clock

LONGEST = 12 * 3600.0
"""Seconds for which a session lasts, unless its token expires sooner."""
MAX_SESSIONS = 10_000
"""Sessions at once. One more ends the one that would end first."""


class _Session(NamedTuple):
    principal: Principal
    ends_at: float


class Sessions:
    """The sessions of this controller, in memory: a restart ends them all. Their ids are kept as hashes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[bytes, _Session] = {}

    def open(self, principal: Principal, expires_at: float) -> str:
        """The id of a new session. It ends with the token, which expires then (Unix seconds), or after 12 hours."""
        now = self._clock.wall()
        self._sessions = {digest: each for digest, each in self._sessions.items() if each.ends_at > now}
        if len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest].ends_at)]
        session_id = secrets.token_urlsafe(32)
        self._sessions[_digest(session_id)] = _Session(principal, min(expires_at, now + LONGEST))
        return session_id

    def principal(self, session_id: str) -> Principal | None:
        """Whose session it is; None if it has ended, or never was."""
        session = self._sessions.get(_digest(session_id))
        return session.principal if session and session.ends_at > self._clock.wall() else None

    def close(self, session_id: str) -> None:
        """End it, if there is one."""
        self._sessions.pop(_digest(session_id), None)


def _digest(session_id: str) -> bytes:
    # Hashes are looked up, so how long it takes tells nothing about an id.
    return hashlib.sha256(session_id.encode(errors="surrogateescape")).digest()
