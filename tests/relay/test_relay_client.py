"""What a controller does that passes reports on: it keeps its stream until another one decides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.core.model.roster import Leader, Roster
from controller.core.traffic.book import Book
from controller.core.traffic.report_log import ReportLog
from controller.core.traffic.reports import ClusterLoad
from controller.relay.relay_client import RelayClient
from controller.runtime.edge_reports import EdgeReports
from controller.runtime.edge_status import EdgeStatus
from controller.runtime.membership import Membership
from controller.runtime.replica import Replica
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.relay.test_fleet_reports import Members, World, member
from tests.relay.test_relay_service import port_open
from tests.support.waiting import wait_until

Lines = list[MutableMapping[str, Any]]


class Follower:
    """`two`, which passes on to `one`."""

    def __init__(self, address: str) -> None:
        self.leader = member("one", 1).model_copy(update={"admin": address})
        self.members = Members(Roster((self.leader, member("two", 0)), Leader("one", 7, 0.0)))
        self.membership = Membership(self.members, member("two", 0), revision=lambda: 1, proxies=lambda: 0)
        clock, book = FakeClock(), Book()
        book.track_clusters(["scorer/v1", "scorer/v2"])
        replica = Replica(book, clock)
        self.edge = EdgeReports(book, ReportLog(), FakeFleet(), replica.view)
        status = EdgeStatus(FakeFleet(), replica.view, clock)
        self.client = RelayClient(self.edge, status, self.membership, lambda: None)

    async def see(self, roster: Roster) -> None:
        """The store has these records now."""
        self.members.roster_now = roster
        await self.membership.refresh()

    def report(self) -> None:
        """A proxy of its own reports one request."""
        self.edge.on_load_report("p", {"scorer/v2": ClusterLoad(1, 1)}, 0.2, 0.0)


class Pair:
    """The one that decides, and the other, whose stream stands."""

    def __init__(self, world: World, follower: Follower, lines: Lines) -> None:
        self.world = world
        self.follower = follower
        self.lines = lines

    async def passes_on(self) -> None:
        """Wait until one more request has arrived."""

        def requests() -> int:
            return self.world.reports.book.traffic("scorer", "v2", self.world.clock.monotonic()).requests

        before = requests()
        self.follower.report()
        await wait_until(lambda: requests() == before + 1, 10)

    def streams(self) -> int:
        """How many were begun."""
        return sum(line["event"] == "relay_connected" for line in self.lines)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """Connected."""
    async with port_open() as port:
        follower = Follower(port.address)
        await follower.membership.refresh()
        with capture_logs() as lines:
            running = asyncio.create_task(follower.client.run())
            await wait_until(lambda: follower.client.connected, 10)
            yield Pair(port.world, follower, lines)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.mark.parametrize("leader", [Leader("one", 7, 0.0), None], ids=["its record ran out", "its term too"])
async def test_a_record_that_is_renewed_late_ends_no_stream(pair: Pair, leader: Leader | None) -> None:
    """On a busy machine records run out while their controllers go on: a new stream would be more work for both."""
    await pair.follower.see(Roster((member("two", 0),), leader))
    await pair.passes_on()
    await pair.follower.see(Roster((pair.follower.leader, member("two", 0)), Leader("one", 9, 0.0)))
    await pair.passes_on()
    assert pair.streams() == 1


async def test_the_stream_ends_once_another_one_decides(pair: Pair) -> None:
    """Also before that one's record is here, and the log says who it is."""
    await pair.follower.see(Roster((pair.follower.leader, member("two", 0)), Leader("three", 9, 0.0)))
    await wait_until(lambda: not pair.follower.client.connected, 10)
    ended = [line for line in pair.lines if line["event"] == "relay_ended"]
    assert [(line["controller"], line["successor"]) for line in ended] == [("one", "three")]
