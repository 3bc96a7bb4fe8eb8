"""What may be lost without harm: sessions under judgement, and recordings."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

MAX_SESSION = 1_048_576
"""Characters of a session that are kept; a longer one is dropped, and a restart collects its evidence again."""
MAX_RECORDING = 1_048_576
"""Bytes of a recording that are kept; a larger one is dropped."""
KEPT_RECORDINGS = 100
"""Rollouts, the newest of all services, whose recordings are kept."""


class SavedSession(NamedTuple):
    """The stored form of a session: JSON."""

    rollout_id: str
    text: str


class Archive(Protocol):
    """Keeps what may be lost without harm: sessions under judgement, and recordings. Bounded.

    A session or recording that cannot be saved is dropped and logged: saving need not raise `StoreLost`, but may.
    """

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        """Keep the newest session of each service's rollout, by service. Returns the services whose session is surely
        saved. `StoreLost`: perhaps saved."""
        ...

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any. `StoreLost` if the store cannot be read."""
        ...

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout; beyond `KEPT_RECORDINGS` the oldest is dropped.

        `StoreLost`: perhaps saved.
        """
        ...

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept. `StoreLost` if the store cannot be read."""
        ...
