"""The proxies as operators see them, at each of several controllers: those of all."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import structlog

from controller.core.control.judged import Judged
from controller.core.control.sync import CutOff, Sync
from controller.core.model.member import Member
from controller.ports.clock import Clock
from controller.ports.fleet import Fleet, ProxyStatus, ReportsPaced, Retried, UnreachedController, UnseenController
from controller.ports.peers import PeerLost, Peers
from controller.ports.report_admission import StrangerStatus
from controller.runtime.fleet_reports import FleetReports
from controller.runtime.followed_judge import FollowedJudge
from controller.runtime.membership import Membership

ROSTER_WITHIN = 1.0
"""Seconds to read which controllers there are: while the store is away, those that were known last are asked."""
NOT_HEARD = "the controller that decides does not hear of it"

log = structlog.get_logger()


class JoinedFleet:
    """Implements `ports.Fleet` of several controllers that share a store: while this one decides by what it knows
    itself, else by what the one that does has answered last."""

    def __init__(self, own: Fleet, membership: Membership, peers: Peers, judge: FollowedJudge, clock: Clock) -> None:
        """`own` are the proxies that are connected to this controller."""
        self._own = own
        self._membership = membership
        self._peers = peers
        self._judge = judge
        self._clock = clock
        self._all: FleetReports | None = None

    @property
    def decides(self) -> bool:
        """Whether this controller decides, so that it knows the proxies of all."""
        return self._all is not None

    @property
    def problems(self) -> Mapping[str, str]:
        """The services that cannot be served as they stand: the same everywhere."""
        return self._own.problems

    @property
    def paced(self) -> ReportsPaced | None:
        """At what this controller's own proxies report, if that is less often than is wanted."""
        return self._own.paced

    @property
    def judged(self) -> Judged:
        """Which controller knows all proxies, and as of when."""
        if self._all:
            return Judged(self._membership.name, self._clock.wall())
        known = self._judge.fleet()
        return known[1] if known else self._judge.gap

    async def refresh(self) -> None:
        """Ask the one that decides for all proxies, if that is another one."""
        if not self._all:
            await self._judge.refresh_proxies()

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected proxy that is known here. Those that are connected here are as they are now."""
        if self._all:
            return self._all.proxies()
        me = self._membership.name
        own = [replace(each, controller=me) for each in self._own.proxies()]
        known = self._judge.fleet()
        connected = {(each.node, each.fleet) for each in own}
        # A proxy that has come here from a controller that is cut off is no longer unseen.
        others = [
            each
            for each in (known[0].proxies if known else ())
            if each.controller != me and not (each.cut_off and (each.node, each.fleet) in connected)
        ]
        return tuple(sorted((*own, *others), key=lambda each: (each.fleet, each.node, each.controller)))

    def unseen(self) -> tuple[UnseenController, ...]:
        """The controllers whose proxies are not known now."""
        if self._all:
            return tuple(_unseen(each) for each in self._all.cut_off())
        known = self._judge.fleet()
        if known:
            return tuple(_unseen(each) for each in known[0].cut_off if each.controller != self._membership.name)
        problem = self._judge.gap.problem
        return tuple(UnseenController(each.name, each.proxies, problem) for each in self._others() if each.proxies)

    def strangers(self) -> tuple[StrangerStatus, ...]:
        """The programs that report to this controller, and are no proxies."""
        return self._own.strangers()

    def retry(self, service: str) -> tuple[str, ...]:
        """Send this controller's proxies once more what they NACKed."""
        return self._own.retry(service)

    async def retry_everywhere(self, service: str, who: str) -> Retried:
        """Send all controllers' proxies once more what they NACKed, on behalf of `who`."""
        nodes = {*self._own.retry(service)}
        await self._membership.refresh(ROSTER_WITHIN)
        unreached: list[UnreachedController] = []
        others = [*self._others()]
        for member, answer in zip(
            others, await asyncio.gather(*(self._retry(m, service, who) for m in others)), strict=True
        ):
            if isinstance(answer, PeerLost):
                unreached.append(UnreachedController(member.name, member.admin, answer.detail))
            else:
                nodes.update(answer)
        return Retried(tuple(sorted(nodes)), tuple(unreached))

    def sync(self, service: str, revision: int) -> Sync:
        """How many of the proxies that are known here have ACKed the service's routes as of that revision."""
        if self._all:
            return self._all.sync(service, revision)
        known = self._judge.judgement(service)
        return known.sync.at(revision) if known else self._own.sync(service, revision)

    def cut_off(self) -> tuple[CutOff, ...]:
        """The controllers with proxies that are not heard of; none where this one does not decide."""
        return self._all.cut_off() if self._all else ()

    @contextlib.contextmanager
    def deciding(self, reports: FleetReports) -> Iterator[None]:
        """This controller decides until the end of the block, with the reports of all."""
        self._all = reports
        try:
            yield
        finally:
            self._all = None

    def _others(self) -> Iterator[Member]:
        me = self._membership.instance
        return (each for each in self._membership.known.members if each.instance != me)

    async def _retry(self, member: Member, service: str, who: str) -> tuple[str, ...] | PeerLost:
        try:
            return await self._peers.retry(member, service, who)
        except PeerLost as lost:
            return lost


def _unseen(cut_off: CutOff) -> UnseenController:
    return UnseenController(cut_off.controller, cut_off.proxies, f"{NOT_HEARD} for {cut_off.seconds:.0f} s")
