"""What may be lost without harm: sessions under judgement, and recordings."""

from typing import Protocol


class Archive(Protocol):
    """Keeps what may be lost without harm: sessions under judgement, and recordings. Bounded."""

    async def save_session(self, service: str, rollout_id: str, session: str) -> None:
        """Keep the newest session of a service's rollout (JSON)."""
        ...

    async def load_session(self, service: str, rollout_id: str) -> str | None:
        """The session saved last for that rollout, if any."""
        ...

    async def save_recording(self, rollout_id: str, recording: bytes) -> None:
        """Keep the newest recording of a rollout. Of rollouts beyond a bound the oldest are forgotten."""
        ...

    async def load_recording(self, rollout_id: str) -> bytes | None:
        """The recording saved last for that rollout, if it is still kept."""
        ...
