"""What is known at a controller that does not decide: new, or said not to be known; never old."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from controller.core.control.judged import Gap
from controller.core.control.sync import CutOff, Sync
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.member import Member, Writes
from controller.core.model.roster import Leader, Roster
from controller.core.traffic.book import Book
from controller.core.traffic.reports import Traffic
from controller.ports.edges import ServiceSync
from controller.ports.fleet import ConfigState, Nack, ProxyStatus
from controller.ports.observatory import Live
from controller.ports.peers import FleetList, Judgement, Upstream
from controller.ports.store import Term
from controller.runtime.followed_judge import (
    FRESH,
    KNOWN_FOR,
    MANY,
    PAUSE,
    PAUSE_OF_MANY,
    PROXIES_FRESH,
    FollowedJudge,
)
from controller.runtime.joined_fleet import JoinedFleet
from controller.runtime.joined_observatory import JoinedObservatory
from controller.runtime.membership import Membership
from controller.runtime.replica import Replica
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.peers import FakePeers

SERVICE = "scorer"
HARM = Verdict(Outcome.HARM, ())


def member(name: str, proxies: int = 0) -> Member:
    """A controller's record; its instance is its name."""
    return Member(instance=name, name=name, since=0.0, records=1, version="1.0", proxies=proxies, admin=f"{name}:1")


def status(node: str, controller: str = "", *, cut_off: bool = False) -> ProxyStatus:
    """A proxy in sync."""
    return ProxyStatus(node, "edge", "envoy", 0.0, (), ConfigState.SYNCED, controller=controller, cut_off=cut_off)


@dataclass
class Members:
    """The records that there are."""

    now: Roster
    writes: Writes = Writes.YES
    read: int = 0

    async def announce(self, member: Member) -> None:
        """Not needed here."""

    async def withdraw(self) -> None:
        """Likewise."""

    async def roster(self) -> Roster:
        self.read += 1
        return self.now


@dataclass
class World:
    """`two` is asked, and `one` decides."""

    clock: FakeClock = field(default_factory=FakeClock)
    peers: FakePeers = field(default_factory=FakePeers)
    own: FakeFleet = field(default_factory=lambda: FakeFleet((status("mine"),), Sync(1, 1)))

    def __post_init__(self) -> None:
        self.members = Members(self.roster("one"))
        self.membership = Membership(self.members, member("two"), revision=lambda: 1, proxies=lambda: 1)
        self.judge = FollowedJudge(self.peers, self.membership, self.clock)
        replica = Replica(Book(), self.clock)
        self.observatory = JoinedObservatory(replica, self.judge, self.membership, self.clock)
        self.fleet = JoinedFleet(self.own, self.membership, self.peers, self.judge, self.clock)
        live = Live(verdict=HARM, remark="rolls back", traffic={"v1": Traffic(requests=7)}, updated_at=1.0)
        upstreams = {"v1": Upstream(True, True)}
        self.peers.known[SERVICE] = Judgement(live, ServiceSync(5, Sync(2, 3)), "", upstreams)

    def roster(self, leader: str = "") -> Roster:
        """Three controllers, and which of them decides."""
        names = (member("one", 1), member("three", 2), member("two", 1))
        return Roster(names, Leader(leader, 7, 0.0) if leader else None)

    def asked(self) -> list[str]:
        """Who was asked, since the last call."""
        names = [name for name, _ in self.peers.asked]
        self.peers.asked.clear()
        return names


@pytest.fixture
async def world() -> World:
    """It knows who there is."""
    made = World()
    await made.membership.refresh()
    return made


async def test_what_the_one_that_decides_knows_is_shown_with_its_time(world: World) -> None:
    """As of when it was asked for, by the clock of the one that shows it; endpoints' health and sync, too."""
    asked = world.clock.wall()
    await world.observatory.refresh([SERVICE])
    world.clock.advance(0.2)
    live = world.observatory.live(SERVICE)
    assert (live.verdict, live.remark, live.updated_at) == (HARM, "rolls back", asked)
    assert live.judged
    assert (live.judged.controller, live.judged.as_of, live.judged.problem) == ("one", asked, "")
    assert live.traffic["v1"].requests == 7
    assert world.observatory.no_healthy_upstream(SERVICE, "v1")
    assert world.observatory.lacks_upstream(SERVICE, "v2") is None
    assert (world.fleet.sync(SERVICE, 5), world.fleet.sync(SERVICE, 6)) == (Sync(2, 3), Sync(0, 3))


async def test_many_who_look_ask_once(world: World) -> None:
    """At once, and within `FRESH`; what others want besides comes in one further question."""
    services = [SERVICE, "other"]
    await asyncio.gather(*(world.observatory.refresh([SERVICE]) for _ in range(50)))
    assert len(world.peers.asked) == 1
    await world.observatory.refresh([SERVICE])
    assert len(world.peers.asked) == 1
    world.clock.advance(FRESH + 0.01)
    await asyncio.gather(*(world.observatory.refresh([name]) for name in services * 20))
    assert [set(names) for _, names in world.peers.asked[1:]] == [set(services)]


async def test_many_services_are_asked_for_as_often_as_the_one_that_decides_can_say(world: World) -> None:
    """It has most of its time for other work; one service is as new as ever."""
    names = [f"s{n}" for n in range(MANY + 1)]
    world.peers.takes = lambda: world.clock.advance(0.5)
    await world.observatory.refresh(names)
    for seconds, asked in [(PAUSE_OF_MANY * 0.5 - 0.6, []), (0.2, ["one"])]:
        world.asked()
        world.clock.advance(seconds)
        await world.observatory.refresh(names)
        assert world.asked() == asked
    world.clock.advance(FRESH)
    await world.observatory.refresh(names[:1])
    assert world.asked() == ["one"]


async def test_without_an_answer_nothing_old_is_shown(world: World) -> None:
    """It says who decides and since when there is none; own proxies' figures are shown instead. Then it is asked again
    at once."""
    await world.observatory.refresh([SERVICE])
    world.peers.lose("one")
    world.clock.advance(1)
    since = world.clock.wall()
    for _ in range(3):
        await world.observatory.refresh([SERVICE])
        world.clock.advance(PAUSE + 0.1)
    live = world.observatory.live(SERVICE)
    assert (live.verdict, live.remark, dict(live.traffic)) == (None, "", {})
    assert live.judged
    assert (live.judged.controller, live.judged.gap, live.judged.since) == ("one", Gap.LEADER_UNREACHABLE, since)
    assert "verdicts are known to one, which decides and cannot be reached since 20" in live.judged.problem
    assert not world.observatory.no_healthy_upstream(SERVICE, "v1")
    assert world.fleet.sync(SERVICE, 5) == Sync(1, 1)
    world.peers.lost.clear()
    await world.observatory.refresh([SERVICE])
    assert world.observatory.live(SERVICE).verdict == HARM


async def test_an_error_of_its_own_hides_nothing_that_is_stored(world: World) -> None:
    """What is judged is then not known; whoever reads gets the rest."""

    def fails() -> None:
        raise RuntimeError("a fault")

    world.peers.takes = fails
    with capture_logs() as logged:
        await world.observatory.refresh([SERVICE])
    judged = world.observatory.live(SERVICE).judged
    assert judged
    assert judged.gap is Gap.LEADER_UNREACHABLE
    assert "judge_not_read" in [line["event"] for line in logged]


async def test_one_that_does_not_answer_is_asked_now_and_then(world: World) -> None:
    """Who looks meanwhile does not wait for it."""
    world.peers.lose("one")
    for _ in range(5):
        await world.observatory.refresh([SERVICE])
    assert world.asked() == ["one"]


async def test_what_nobody_asks_for_again_is_forgotten(world: World) -> None:
    """Whoever shows it without asking shows nothing old."""
    await world.observatory.refresh([SERVICE])
    world.clock.advance(KNOWN_FOR + 0.1)
    assert world.observatory.live(SERVICE).verdict is None


async def test_the_next_one_is_asked_in_the_same_breath(world: World) -> None:
    """The former one says that it does not decide; who does is read from the store."""
    world.peers.lose("one", Gap.LEADER_NOT_DECIDING)
    world.members.now = world.roster("three")
    await world.observatory.refresh([SERVICE])
    assert world.asked() == ["one", "three"]
    judged = world.observatory.live(SERVICE).judged
    assert judged
    assert (judged.controller, judged.problem) == ("three", "")


@pytest.mark.parametrize(
    ("leader", "gap", "text"),
    [
        ("", Gap.NO_LEADER, "no controller decides since"),
        ("two", Gap.LEADER_NOT_DECIDING, "two holds the term and does not decide yet"),
    ],
)
async def test_where_none_can_be_asked_it_says_why(world: World, leader: str, gap: Gap, text: str) -> None:
    """No controller decides, or the one that is asked is about to: its term has begun."""
    world.members.now = world.roster(leader)
    if leader:
        world.membership.term_begun(Term(7))
    await world.membership.refresh()
    await world.observatory.refresh([SERVICE])
    judged = world.observatory.live(SERVICE).judged
    assert judged
    assert (judged.gap, world.asked()) == (gap, [])
    assert text in judged.problem


async def test_one_of_an_older_version_is_named(world: World) -> None:
    """It has the verdicts, and does not pass them on."""
    world.peers.lose("one", Gap.LEADER_OTHER_VERSION, "0.1, at one:1: it cannot be asked")
    await world.observatory.refresh([SERVICE])
    judged = world.observatory.live(SERVICE).judged
    assert judged
    assert "known to one, which decides and is of another version (0.1, at one:1" in judged.problem


async def test_a_verdict_on_another_rollout_is_not_shown(world: World) -> None:
    """The one that decides is a moment ahead, or behind."""
    known = world.peers.known[SERVICE]
    world.peers.known[SERVICE] = Judgement(known.live, known.sync, "the one before")
    await world.observatory.refresh([SERVICE])
    live = world.observatory.live(SERVICE)
    assert (live.verdict, live.remark, live.traffic["v1"].requests) == (None, "", 7)


async def test_all_proxies_are_listed_and_own_ones_as_they_are_now(world: World) -> None:
    """With the controllers that are not heard of; the list is asked for once in a while."""
    theirs = (status("a", "one"), status("mine", "two"), status("gone", "two"), status("b", "three", cut_off=True))
    world.peers.fleet = FleetList(theirs, (CutOff("three", 2, 4.0),))
    for _ in range(3):
        await world.fleet.refresh()
    assert world.asked() == ["one"]
    shown = [(each.node, each.controller, each.cut_off) for each in world.fleet.proxies()]
    assert shown == [("a", "one", False), ("b", "three", True), ("mine", "two", False)]
    assert [(each.controller, each.proxies) for each in world.fleet.unseen()] == [("three", 2)]
    assert world.fleet.judged.controller == "one"
    world.clock.advance(PROXIES_FRESH)
    await world.fleet.refresh()
    assert world.asked() == ["one"]


async def test_where_the_list_is_not_known_the_others_are_named(world: World) -> None:
    """As many proxies as their records say, and why they are not listed."""
    world.peers.lose("one")
    await world.fleet.refresh()
    assert [each.node for each in world.fleet.proxies()] == ["mine"]
    assert [(each.controller, each.proxies) for each in world.fleet.unseen()] == [("one", 1), ("three", 2)]
    assert world.fleet.unseen()[0].reason == world.fleet.judged.problem != ""


async def test_a_retry_reaches_every_controller_or_says_which_not(world: World) -> None:
    """The nodes of all that were reached."""
    world.own.statuses = (replace(status("mine"), last_nack=Nack("x.v3.Listener", 1.0, "cannot bind")),)
    world.peers.nacked = {"one": ("a",), "three": ("b",)}
    assert await world.fleet.retry_everywhere(SERVICE, "ann") == (("a", "b", "mine"), ())
    assert world.peers.retried == [("one", SERVICE, "ann"), ("three", SERVICE, "ann")]
    world.peers.lose("three")
    retried = await world.fleet.retry_everywhere("", "ann")
    assert retried.nodes == ("a", "mine")
    assert retried.unreached == (("three", "three:1", "no answer"),)
