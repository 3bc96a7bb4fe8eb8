"""What operators see of services at a controller that shares its store: what is judged, wherever that is known."""

from collections.abc import Collection
from dataclasses import replace

from controller.core.control.judged import Judged
from controller.core.model.view import View
from controller.ports.clock import Clock
from controller.ports.observatory import Live
from controller.ports.peers import Judgement
from controller.ports.service_files import FilesStatus
from controller.runtime.followed_judge import FollowedJudge
from controller.runtime.membership import Membership
from controller.runtime.replica import Replica


class JoinedObservatory:
    """Implements `ports.Observatory`: while this controller decides what it knows itself, else what the one that does
    has answered last. Without an answer it shows no verdict, and says why (`Live.judged`)."""

    def __init__(self, own: Replica, judge: FollowedJudge, membership: Membership, clock: Clock) -> None:
        self._own = own
        self._judge = judge
        self._membership = membership
        self._clock = clock

    def view(self) -> View:
        """The view that is being served."""
        return self._own.view()

    async def refresh(self, services: Collection[str]) -> None:
        """Ask the one that decides about these services, if that is another one."""
        if not self._own.decides:
            await self._judge.refresh(services)

    def live(self, service: str) -> Live:
        """What is known of a service."""
        own = self._own.live(service)
        if self._own.decides:
            return replace(own, judged=Judged(self._membership.name, self._clock.wall()))
        judged, known = self._judge.judged(service), self._judge.judgement(service)
        if known is None:
            return replace(own, judged=judged)
        live = replace(known.live, judged=judged, updated_at=judged.as_of, sources=own.sources, shared=own.shared)
        if known.rollout_id == self._rollout_id(service):
            return live
        return replace(live, verdict=None, remark="", blocker=None)  # of the rollout before, or the one after it

    def no_healthy_upstream(self, service: str, version: str) -> bool:
        """Whether this version is known to have no healthy endpoint."""
        if (known := self._known(service)) and version in known.upstreams:
            return known.upstreams[version].none
        return self._own.no_healthy_upstream(service, version)

    def lacks_upstream(self, service: str, version: str) -> bool | None:
        """Whether some proxy has no healthy endpoint of this version; None while none reports on the service."""
        if (known := self._known(service)) and version in known.upstreams:
            return known.upstreams[version].lacking
        return self._own.lacks_upstream(service, version)

    def files(self) -> FilesStatus:
        """What became of the service files of a folder."""
        return self._own.files() if self._own.decides else self._judge.files()

    async def next(self, seen: int) -> int:
        """Wait until there is news later than `seen`, a second at most; the number for the next call."""
        return await self._own.next(seen)

    def _known(self, service: str) -> Judgement | None:
        """What another controller knows, while that one decides."""
        return None if self._own.decides else self._judge.judgement(service)

    def _rollout_id(self, service: str) -> str:
        state = self._own.view().services.get(service)
        return state.rollout.id if state and state.rollout else ""
