"""What is kept of rollouts besides the ledger, at a controller that shares its store."""

from controller.core.history.recording import Recording
from controller.ports.recordings import Recordings
from controller.runtime.followed_judge import FollowedJudge
from controller.runtime.replica import Replica


class JoinedRecordings:
    """Implements `ports.Recordings`. The newest windows of a rollout are in the memory of the one that decides; in the
    store they are up to half a minute older."""

    def __init__(self, own: Recordings, judge: FollowedJudge, replica: Replica) -> None:
        self._own = own
        self._judge = judge
        self._replica = replica

    async def find(self, rollout_id: str) -> Recording | None:
        """The recording of a rollout up to now; if the one that decides does not answer, as it was stored last."""
        if not self._replica.decides and self._is_newest(rollout_id):
            recording = await self._judge.recording(rollout_id)
            if recording:
                return recording
        return await self._own.find(rollout_id)

    def _is_newest(self, rollout_id: str) -> bool:
        states = self._replica.view().services.values()
        return any(state.rollout is not None and state.rollout.id == rollout_id for state in states)
