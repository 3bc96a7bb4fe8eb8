"""The other controllers, as a test describes what they answer."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from controller.core.control.judged import Gap
from controller.core.history.recording import Recording
from controller.core.model.member import Member
from controller.ports.peers import FleetList, Judgement, Judgements, PeerLost
from controller.ports.service_files import FilesStatus


@dataclass
class FakePeers:
    """Implements `ports.Peers`: the same answers from each, unless it is lost."""

    known: dict[str, Judgement] = field(default_factory=dict)
    files: FilesStatus = field(default_factory=FilesStatus)
    fleet: FleetList = field(default_factory=lambda: FleetList(()))
    recordings: dict[str, Recording] = field(default_factory=dict)
    nacked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By controller: the nodes that have NACKed something."""
    lost: dict[str, PeerLost] = field(default_factory=dict)
    """By controller: why it does not answer."""
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Who was asked about which services."""
    retried: list[tuple[str, str, str]] = field(default_factory=list)
    """Which controller sent again what of which service, and for whom."""

    takes: Callable[[], None] = lambda: None
    """Called for each answer about services, as time passes meanwhile."""

    def lose(self, name: str, gap: Gap = Gap.LEADER_UNREACHABLE, detail: str = "no answer") -> None:
        """From now on that controller does not answer."""
        self.lost[name] = PeerLost(gap, detail)

    async def judgements(self, member: Member, services: Collection[str]) -> Judgements:
        self.asked.append((member.name, tuple(services)))
        self._answer(member)
        self.takes()
        return Judgements({name: self.known[name] for name in services if name in self.known}, self.files)

    async def proxies(self, member: Member) -> FleetList:
        self.asked.append((member.name, ("proxies",)))
        self._answer(member)
        return self.fleet

    async def recording(self, member: Member, rollout_id: str) -> Recording | None:
        self._answer(member)
        return self.recordings.get(rollout_id)

    async def retry(self, member: Member, service: str, who: str) -> tuple[str, ...]:
        self._answer(member)
        self.retried.append((member.name, service, who))
        return self.nacked.get(member.name, ())

    def _answer(self, member: Member) -> None:
        if lost := self.lost.get(member.name):
            raise lost
