"""The proxies of all controllers as the one that decides knows them: also of those that it does not hear of."""

import asyncio
from dataclasses import dataclass, field

import pytest

from controller.core.control.sync import CutOff, Sync
from controller.core.model.member import Member, Writes
from controller.core.model.roster import Leader, Roster
from controller.core.traffic.book import Book
from controller.core.traffic.report_log import ReportLog
from controller.core.traffic.reports import ClusterLoad
from controller.ports.edges import EdgeUpdate, ServiceSync
from controller.ports.fleet import ConfigState, ProxyStatus
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.fleet_reports import CUT_OFF_AFTER, GONE_AFTER, FleetReports
from controller.runtime.followed_judge import FollowedJudge
from controller.runtime.joined_fleet import JoinedFleet
from controller.runtime.membership import Membership
from controller.runtime.replica import Replica
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.peers import FakePeers
from tests.support.waiting import wait_until

SERVICE = "scorer"


def member(name: str, proxies: int) -> Member:
    """A controller's record; its instance is its name."""
    return Member(instance=name, name=name, since=0.0, records=1, proxies=proxies)


@dataclass
class Members:
    """The records that there are."""

    roster_now: Roster
    writes: Writes = Writes.YES

    async def announce(self, member: Member) -> None:
        """Not needed here."""

    async def withdraw(self) -> None:
        """Likewise."""

    async def roster(self) -> Roster:
        """All of them."""
        return self.roster_now


@dataclass
class OwnProxies(FakeFleet):
    """The proxies of the one that decides."""

    connected: set[tuple[str, str]] = field(default_factory=set)

    def is_connected(self, node: str, fleet: str) -> bool:
        return (node, fleet) in self.connected


class World:
    """`one` decides, and has a proxy; `two` has a record with two proxies."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.own = OwnProxies((status("own"),), Sync(1, 1), connected={("own", "edge")})
        self.members = Members(Roster((member("one", 1), member("two", 2)), Leader("one", 7, 0.0)))
        self.membership = Membership(self.members, member("one", 1), revision=lambda: 1, proxies=lambda: 1)
        replica = Replica(Book(), self.clock)
        self.edge = EdgeReports(Book(), ReportLog(), self.own, replica.view)
        self.reports = FleetReports(self.edge, self.own, self.membership, replica, self.clock)
        judge = FollowedJudge(FakePeers(), self.membership, self.clock)
        self.fleet = JoinedFleet(self.own, self.membership, FakePeers(), judge, self.clock)

    async def begin(self) -> None:
        """Read who there is."""
        await self.membership.refresh()

    def tell(self, *nodes: str, revision: int = 5, synced: int | None = None, complete: bool = True) -> None:
        """`two` says that these proxies are connected to it, and how many of them have the service's routes."""
        count = len(nodes) if synced is None else synced
        sync = ServiceSync(revision, Sync(count, len(nodes), behind=nodes[count:]))
        self.reports.add("two", None, [EdgeUpdate(tuple(map(status, nodes)), (), {SERVICE: sync}, complete)])

    async def drop_record(self) -> None:
        """The record of `two` has run out."""
        self.members.roster_now = Roster((member("one", 1),), Leader("one", 7, 0.0))
        await self.begin()


def status(node: str) -> ProxyStatus:
    """A proxy in sync."""
    return ProxyStatus(node, "edge", "envoy", 0.0, (), ConfigState.SYNCED)


@pytest.fixture
async def world() -> World:
    """`two` has not connected yet."""
    made = World()
    await made.begin()
    return made


async def test_a_controller_that_has_not_connected_yet_is_cut_off(world: World) -> None:
    """By its record it has proxies: they are unseen, not absent, and nothing advances."""
    world.clock.advance(1.0)
    sync = world.reports.sync(SERVICE, 5)
    assert (sync.synced, sync.total, sync.cut_off) == (1, 3, (CutOff("two", 2, 1.0),))
    assert not sync.enough(0.1)
    world.reports.open("two", "two", 0)
    assert world.reports.sync(SERVICE, 5).cut_off  # until it has told of its proxies
    world.tell("a", "b")
    assert world.reports.sync(SERVICE, 5) == Sync(2 + 1, 3)


async def test_in_sync_is_what_all_controllers_proxies_are(world: World) -> None:
    """One that serves an older revision has none in sync, whatever it says of that one."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b", synced=1)
    sync = world.reports.sync(SERVICE, 5)
    assert (sync.synced, sync.total, sync.behind) == (2, 3, ("b",))
    assert (world.reports.sync(SERVICE, 6).synced, sync.enough(0.5), sync.enough(1.0)) == (1, True, False)


async def test_a_moment_without_a_stream_is_no_cut(world: World) -> None:
    """A connection that ends, as it does now and then, is back before anybody notices."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b")
    world.reports.close("two")
    world.clock.advance(CUT_OFF_AFTER - 0.5)
    world.reports.open("two", "two", 0)
    assert world.reports.sync(SERVICE, 5) == Sync(3, 3)


async def test_silence_cuts_off_with_or_without_a_stream(world: World) -> None:
    """Until it speaks again, or its proxies have come elsewhere."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b")
    world.clock.advance(CUT_OFF_AFTER + 1)
    assert world.reports.sync(SERVICE, 5).cut_off == (CutOff("two", 2, CUT_OFF_AFTER + 1),)
    with world.fleet.deciding(world.reports):
        shown = {each.node: (each.controller, each.cut_off) for each in world.fleet.proxies()}
    assert shown == {"a": ("two", True), "b": ("two", True), "own": ("one", False)}
    world.own.connected.add(("a", "edge"))
    assert [each.proxies for each in world.reports.cut_off()] == [1]
    world.tell(complete=False)
    assert world.reports.cut_off() == ()


async def test_a_service_that_it_does_not_serve_goes_on(world: World) -> None:
    """Its proxies are of another fleet."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b")
    world.clock.advance(CUT_OFF_AFTER + 1)
    assert world.reports.sync("other", 5).cut_off == ()


async def test_one_that_is_gone_is_waited_for_a_minute(world: World) -> None:
    """Its record has run out: it has died, or it is cut off from everything, and its proxies with it."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b")
    world.reports.close("two")
    await world.drop_record()
    world.clock.advance(GONE_AFTER - 1)
    world.reports._tidy()
    assert [each.proxies for each in world.reports.cut_off()] == [2]
    world.clock.advance(2)
    world.reports._tidy()
    assert world.reports.sync(SERVICE, 5) == Sync(1, 1)


async def test_one_that_is_gone_is_forgotten_when_its_proxies_are_elsewhere(world: World) -> None:
    """As they are seconds after a controller has died."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b")
    world.reports.close("two")
    await world.drop_record()
    world.clock.advance(CUT_OFF_AFTER + 1)
    world.own.connected |= {("a", "edge"), ("b", "edge")}
    world.reports._tidy()
    assert world.reports.cut_off() == ()
    assert [each.node for each in world.reports.proxies()] == ["own"]


async def test_a_proxy_that_leaves_and_a_controller_that_says_all_anew(world: World) -> None:
    """What an update does not name stays, unless it is complete."""
    world.reports.open("two", "two", 0)
    world.tell("a", "b")
    world.reports.add("two", None, [EdgeUpdate(gone=(("a", "edge"),))])
    assert [each.node for each in world.reports.proxies()] == ["b", "own"]
    world.tell("c")
    assert [each.node for each in world.reports.proxies()] == ["c", "own"]


async def test_the_one_that_decides_reads_its_own_log(world: World) -> None:
    """And nothing else reads it meanwhile: a late answer of a former leader must not take batches away."""
    edge, book = world.edge, world.reports.book
    book.track_clusters(["scorer/v2"])
    edge.log.add_load("own", {"scorer/v2": ClusterLoad(5, 5)}, 0.2)
    running = asyncio.create_task(world.reports.run())
    await wait_until(lambda: world.reports.positions.get("one") == 1)
    assert edge.is_read_here
    assert book.traffic("scorer", "v2", world.clock.monotonic()).requests == 5
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not edge.is_read_here
