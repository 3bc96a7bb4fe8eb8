"""What this controller answers the others that share its store, when their operators ask."""

from controller.core.history.recording import Recording
from controller.ports.edges import ServiceSync
from controller.ports.fleet import Fleet
from controller.ports.peers import FleetList, Judgement, Upstream
from controller.ports.recordings import Recordings
from controller.ports.service_files import FilesStatus
from controller.runtime.joined_fleet import JoinedFleet
from controller.runtime.replica import Replica


class PeerAnswers:
    """What it knows as the one that decides, and what any controller does. One that is alone with its store decides for
    no other."""

    def __init__(self, replica: Replica, fleet: Fleet, recordings: Recordings) -> None:
        """`recordings` are those of the rollouts that this controller judges."""
        self._replica = replica
        self._fleet = fleet
        self._joined = fleet if isinstance(fleet, JoinedFleet) else None
        self._recordings = recordings

    @property
    def decides(self) -> bool:
        """Whether this controller decides; the others are told nothing else of what it knows."""
        return self._joined is not None and self._joined.decides and self._replica.decides

    def judgement(self, service: str) -> Judgement | None:
        """What is known of a service; None if there is no such service here."""
        replica = self._replica
        state = replica.view().services.get(service)
        if state is None:
            return None
        upstreams = {
            version.name: Upstream(
                replica.no_healthy_upstream(service, version.name), replica.lacks_upstream(service, version.name)
            )
            for version in state.spec.versions
        }
        sync = ServiceSync(state.revision, self._fleet.sync(service, state.revision))
        return Judgement(replica.live(service), sync, state.rollout.id if state.rollout else "", upstreams)

    def files(self) -> FilesStatus:
        """What became of the service files of a folder."""
        return self._replica.files()

    def proxies(self) -> FleetList:
        """The proxies of all controllers."""
        return FleetList(self._fleet.proxies(), self._joined.cut_off() if self._joined else ())

    async def recording(self, rollout_id: str) -> Recording | None:
        """The recording of a rollout up to now."""
        return await self._recordings.find(rollout_id)

    def retry(self, service: str) -> tuple[str, ...]:
        """Send the proxies that are connected here once more what they NACKed; the nodes that had NACKed any of it."""
        return self._fleet.retry(service)
