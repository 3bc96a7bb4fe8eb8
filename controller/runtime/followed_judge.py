"""What the controller that decides knows, at another one that shares the store: asked for when somebody looks.

Nothing is passed on while nobody looks, and whoever looks at once shares one question. An answer is shown with the time
at which it was asked for; if the next question is not answered, nothing of the one before is shown any more.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple, TypeVar

import structlog

from controller.core.control.judged import Gap, Judged
from controller.core.history.recording import Recording
from controller.core.model.member import Member
from controller.ports.clock import Clock
from controller.ports.peers import FleetList, Judgement, PeerLost, Peers
from controller.ports.service_files import FilesStatus
from controller.process.coalesced import Coalesced
from controller.runtime.membership import Membership

FRESH = 0.3
"""Seconds for which an answer is not asked for again."""
PROXIES_FRESH = 2.0
"""The same for the list of all proxies: the one that decides hears of the others' proxies as often."""
MANY = 50
"""Services. What is known of more than that takes the one that decides some time to say."""
PAUSE_OF_MANY = 4
"""Times as long as that took: so it has four fifths of its time for other work, whatever one controller asks."""
LONGEST_FRESH = 4.0
"""Seconds for which an answer about many services is not asked for again at the longest."""
KNOWN_FOR = 10.0
"""Seconds after which what was not asked for again is forgotten."""
PAUSE = 0.5
"""Seconds after a failure in which nothing is asked for: what is known is that nothing is."""
SAME_GAP = 30.0
"""Seconds between two failures at most that are of one gap: what was between them, nobody has asked."""
PATIENCE = 1.5
"""Seconds for which one who looks at a service waits for an answer; then it is shown that there is none."""
PATIENCE_FOR_ALL = 5.0
"""The same for one who looks at many services, or at the proxies."""
ROSTER_WITHIN = 0.5
"""Seconds to read who decides: while the store is away, that cannot be read."""

T = TypeVar("T")

log = structlog.get_logger()


class _Answer(NamedTuple):
    """What is known of a service, and when it was asked for: in monotonic and in Unix seconds."""

    asked: float
    wall: float
    judgement: Judgement | None


class FollowedJudge:
    """What the one that decides knows, while that is another one. Its coroutines raise nothing."""

    def __init__(self, peers: Peers, membership: Membership, clock: Clock) -> None:
        self._peers = peers
        self._membership = membership
        self._clock = clock
        self._known: dict[str, _Answer] = {}
        self._files = FilesStatus()
        self._wanted: set[str] = set()
        self._many_fresh = FRESH
        """Seconds for which answers about many services are not asked for again."""
        self._leader = ""
        """The name of the one that answered last."""
        self._gap: Judged | None = None
        """Why there was no answer, if there was none to the last question."""
        self._failed = float("-inf")
        self._fleet: FleetList | None = None
        self._fleet_asked = float("-inf")
        self._fleet_wall = 0.0
        self._judgements = Coalesced(self._ask_for_judgements)
        self._proxies = Coalesced(self._ask_for_proxies)

    async def refresh(self, services: Collection[str]) -> None:
        """Ask for what is known of these services, unless it is new."""
        stale = self._stale(services)
        if not stale or self._failed_just_now():
            return
        self._wanted |= stale
        await self._judgements.join(PATIENCE_FOR_ALL if len(stale) > MANY else PATIENCE)

    async def refresh_proxies(self) -> None:
        """Ask for the list of all proxies, unless it is new."""
        if self._clock.monotonic() - self._fleet_asked >= PROXIES_FRESH and not self._failed_just_now():
            await self._proxies.join(PATIENCE_FOR_ALL)

    def judgement(self, service: str) -> Judgement | None:
        """What was answered last on a service; None if nothing is known."""
        answer = self._answer(service)
        return answer.judgement if answer else None

    def judged(self, service: str) -> Judged:
        """Who judges a service, and as of when that is known."""
        if answer := self._answer(service):
            return Judged(self._leader, answer.wall)
        return self.gap

    @property
    def gap(self) -> Judged:
        """Why nothing is known, where nothing is."""
        if self._gap:
            return self._gap
        leading = self._membership.known.leading
        if leading is None:
            return Judged("", gap=Gap.NO_LEADER, since=self._clock.wall())
        return Judged(leading.name, gap=Gap.LEADER_UNREACHABLE, since=self._clock.wall(), detail="no answer in time")

    def files(self) -> FilesStatus:
        """What became of the service files of a folder, as answered last."""
        return FilesStatus() if self._gap else self._files

    def fleet(self) -> tuple[FleetList, Judged] | None:
        """The proxies of all controllers, and who knows them; None if they are not known."""
        known_for = self._clock.monotonic() - self._fleet_asked
        if self._fleet is None or known_for > KNOWN_FOR:
            return None
        return self._fleet, Judged(self._leader, self._fleet_wall)

    async def recording(self, rollout_id: str) -> Recording | None:
        """The recording of a rollout; None if there is none, or no answer."""
        return await self._ask(lambda leader: self._peers.recording(leader, rollout_id))

    def _answer(self, service: str) -> _Answer | None:
        answer = self._known.get(service)
        return answer if answer and self._clock.monotonic() - answer.asked <= KNOWN_FOR else None

    def _stale(self, services: Collection[str]) -> set[str]:
        oldest = self._clock.monotonic() - (FRESH if len(services) <= MANY else self._many_fresh)
        return {each for each in services if each not in self._known or self._known[each].asked < oldest}

    def _failed_just_now(self) -> bool:
        return self._gap is not None and self._clock.monotonic() - self._failed < PAUSE

    async def _ask_for_judgements(self) -> None:
        wanted, self._wanted = self._wanted, set()
        asked, wall = self._clock.monotonic(), self._clock.wall()
        answer = await self._ask(lambda leader: self._peers.judgements(leader, sorted(wanted)))
        if answer is None:
            return
        self._files = answer.files
        if len(wanted) > MANY:
            took = self._clock.monotonic() - asked
            self._many_fresh = min(max(FRESH, PAUSE_OF_MANY * took), LONGEST_FRESH)
        kept = {name: known for name, known in self._known.items() if asked - known.asked <= KNOWN_FOR}
        news = {name: _Answer(asked, wall, answer.services.get(name)) for name in wanted}
        self._known = {**kept, **news}

    async def _ask_for_proxies(self) -> None:
        asked, wall = self._clock.monotonic(), self._clock.wall()
        answer = await self._ask(self._peers.proxies)
        if answer is not None:
            self._fleet, self._fleet_asked, self._fleet_wall = answer, asked, wall

    async def _ask(self, question: Callable[[Member], Awaitable[T]]) -> T | None:
        """The answer of the one that decides; None without one, and then `_gap` says why.

        If another one decides by now, that one is asked.
        """
        asked = ""
        lost = PeerLost(Gap.NO_LEADER, "")
        while True:
            leader = self._membership.known.leading
            if leader is None or leader.instance in (asked, self._membership.instance):
                await self._read_roster()
                leader = self._membership.known.leading
            if leader is None or leader.instance == asked:
                self._note_gap(leader, lost)
                return None
            if leader.instance == self._membership.instance:
                self._note_gap(leader, PeerLost(Gap.LEADER_NOT_DECIDING, ""))
                return None
            asked = leader.instance
            try:
                answer = await question(leader)
            except PeerLost as error:
                lost = error
                continue
            except Exception:  # whoever reads must see what is stored
                log.exception("judge_not_read", controller=leader.name)
                lost = PeerLost(Gap.LEADER_UNREACHABLE, "an error of this controller's own; its log says more")
                continue
            if leader.name != self._leader:
                self._forget()
            if self._gap or leader.name != self._leader:
                log.info("judge_followed", controller=leader.name)
            self._leader, self._gap = leader.name, None
            return answer

    async def _read_roster(self) -> None:
        await self._membership.refresh(ROSTER_WITHIN)

    def _note_gap(self, leader: Member | None, lost: PeerLost) -> None:
        """From now on nothing is known."""
        self._forget()
        now = self._clock.monotonic()
        lasts, self._failed = now - self._failed <= SAME_GAP, now
        name = leader.name if leader else ""
        gap = lost.gap if leader else Gap.NO_LEADER
        before = self._gap
        same = lasts and before is not None and (before.controller, before.gap) == (name, gap)
        since = before.since if before and same else self._clock.wall()
        self._gap = Judged(name, gap=gap, since=since, detail=lost.detail)
        if not same:
            log.warning("judge_not_followed", gap=gap.value, controller=name, reason=lost.detail)

    def _forget(self) -> None:
        self._known, self._fleet, self._files = {}, None, FilesStatus()
        self._fleet_asked = float("-inf")
