"""What is kept of rollouts besides the ledger."""

from typing import Protocol

from controller.core.history.recording import Recording


class Recordings(Protocol):
    """What is kept of rollouts besides the ledger."""

    async def find(self, rollout_id: str) -> Recording | None:
        """The recording of a rollout up to now; None if there is none, none is kept any longer, or none can be read.

        The caller must not change it. Raises nothing.
        """
        ...
