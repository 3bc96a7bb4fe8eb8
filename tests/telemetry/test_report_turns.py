"""Reports are read some at a time, so that new proxies are not kept waiting by those that report."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import grpc

from controller.core.traffic.book import Book
from controller.pb.haldane.wire.v1.load_stats_pb2 import LoadReporter, LoadStatsRequest
from controller.process.clock import SystemClock
from controller.process.right_of_way import RightOfWay
from controller.telemetry.load_reporting_service import SERVICE as LRS
from controller.telemetry.load_reporting_service import LoadReportingService
from controller.telemetry.report_turns import BATCH, ReportTurns
from controller.telemetry.reporters import Reporters
from controller.xds.limits import Limits
from controller.xds.resources.type_urls import CDS
from controller.xds.server import XdsServer, make_grpc_server
from tests.fakes.admission import EveryoneAdmitted
from tests.fakes.meter import FakeMeter
from tests.support.waiting import wait_until
from tests.xds.local_server import ADS, RawClient
from tests.xds.views import service, view

REPORTING, EACH, JOINING = 100, 15, 10
V1 = "scorer/v1"


class Handled:
    """Messages that await their turn, and in which order they were handled."""

    def __init__(self, turns: ReportTurns) -> None:
        self.numbers: list[int] = []
        self._turns = turns

    def arrive(self, *numbers: int) -> list[asyncio.Task[None]]:
        """So many messages come at once."""
        return [asyncio.create_task(self._handle(number)) for number in numbers]

    async def _handle(self, number: int) -> None:
        await self._turns.turn()
        self.numbers.append(number)


async def test_messages_are_handled_in_order_and_a_batch_in_a_turn() -> None:
    """However many come at once; what comes later waits behind those that wait, and an ended stream takes no place."""
    turns = ReportTurns()
    handled = Handled(turns)
    tasks = handled.arrive(*range(5 * BATCH))
    counts = [0]
    await asyncio.sleep(0)
    tasks[2 * BATCH].cancel()
    late = handled.arrive(*range(5 * BATCH, 6 * BATCH))
    while len(handled.numbers) < 6 * BATCH - 1:
        counts.append(len(handled.numbers))
        await asyncio.sleep(0)
    assert handled.numbers == [number for number in range(6 * BATCH) if number != 2 * BATCH]
    assert max(later - earlier for earlier, later in pairwise(counts)) <= BATCH
    await asyncio.gather(*tasks, *late, return_exceptions=True)


async def test_a_controller_that_keeps_up_lets_nothing_wait() -> None:
    """Fewer than a batch in a turn go on at once, again and again."""
    handled = Handled(turns := ReportTurns())
    for _ in range(10):
        handled.arrive(*range(BATCH))
        await asyncio.sleep(0)
        assert turns.longest_wait == 0.0
        await asyncio.sleep(0)
    assert len(handled.numbers) == 10 * BATCH


async def test_the_longest_wait_is_that_of_the_first_in_line() -> None:
    """It is what the pace of the reports is set by."""
    handled = Handled(turns := ReportTurns())
    handled.arrive(*range(3 * BATCH))
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251 - the loop is busy
    assert turns.longest_wait >= 0.05
    await wait_until(lambda: len(handled.numbers) == 3 * BATCH)
    assert turns.longest_wait == 0.0


async def test_those_in_line_wait_while_a_rollback_has_the_right_of_way() -> None:
    """Also those that were in line before it."""
    way = RightOfWay()
    handled = Handled(ReportTurns(way))
    handled.arrive(*range(4 * BATCH))
    await asyncio.sleep(0)
    way.claim()
    for _ in range(10):
        await asyncio.sleep(0)
    before = len(handled.numbers)
    assert before < 4 * BATCH
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(handled.numbers) == before
    way.give_up()
    await wait_until(lambda: len(handled.numbers) == 4 * BATCH)


class Counting(Book):
    """A book that counts reports. Each takes a millisecond, as those of a large proxy do."""

    reports = 0

    def on_load_report(self, *arguments: Any) -> Any:
        """One more."""
        self.reports += 1
        time.sleep(0.001)
        return super().on_load_report(*arguments)


async def test_proxies_join_while_others_have_more_to_report_than_is_read() -> None:
    """gRPC hands over one new stream in a turn of the event loop, so a turn must not read a report of every stream."""
    book, way = Counting(), RightOfWay()
    book.track_clusters([V1])
    async with opened(book, way) as channel:
        reporting = [channel.stream_stream(f"/{LRS}/StreamLoadStats")() for _ in range(REPORTING)]
        for number, call in enumerate(reporting):
            await call.write(LoadStatsRequest(node=LoadReporter(id=f"p-{number}", cluster="edge")).SerializeToString())
        await wait_until(lambda: book.reports == REPORTING)
        way.claim()
        for call in reporting:
            for _ in range(EACH):
                await call.write(LoadStatsRequest().SerializeToString())
        way.give_up()
        await asyncio.gather(*(joined(channel, f"new-{number}") for number in range(JOINING)))
        between = book.reports - REPORTING
        await wait_until(lambda: book.reports == REPORTING * (1 + EACH))
    assert between < REPORTING * EACH / 2


@asynccontextmanager
async def opened(book: Book, way: RightOfWay) -> AsyncIterator[grpc.aio.Channel]:
    """To an xDS port that takes load reports, too."""
    clock = SystemClock()
    xds = XdsServer(clock=clock)
    xds.publish(view(1, service()))
    reporters = Reporters(EveryoneAdmitted(book), xds.stranger_log, xds.report_totals, FakeMeter(), clock)
    turns = ReportTurns(way)
    reports = LoadReportingService(book, reporters, clock, interval=0.2, on_news=lambda _: None, turns=turns)
    server = make_grpc_server(Limits())
    server.add_generic_rpc_handlers((*xds.handlers(), *reports.handlers()))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


async def joined(channel: grpc.aio.Channel, node: str) -> None:
    """A proxy comes, and has its clusters."""
    client = RawClient(channel.stream_stream(f"{ADS}StreamAggregatedResources")())
    await client.send(type_url=CDS, node=node)
    await client.read(within=30)
