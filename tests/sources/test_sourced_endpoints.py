"""What a controller makes of the sources that its services name."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from controller.core.model.endpoint_source import EndpointSource, FileSource
from controller.core.model.service import Endpoint, Version
from controller.core.model.service_state import ServiceState
from controller.core.model.source_status import KnownEndpoints, SharedEndpoint, describe_source
from controller.core.model.view import View
from controller.ports.endpoint_sources import SourceReading
from controller.runtime.sourced_endpoints import OLDEST, SourcedEndpoints
from tests.builders import service
from tests.fakes.clock import FakeClock
from tests.support.waiting import wait_until

ONE, TWO = Endpoint(host="10.0.0.1", port=9001), Endpoint(host="10.0.0.2", port=9002)
A, B = FileSource(path="/a"), FileSource(path="/b")


def sourced(name: str = "scorer", **versions: EndpointSource | Endpoint) -> ServiceState:
    """A service whose versions have these sources, or this one endpoint."""
    listed = tuple(
        Version(name=version, endpoints=(of,)) if isinstance(of, Endpoint) else Version(name=version, source=of)
        for version, of in versions.items()
    )
    return ServiceState(spec=service(name, versions=listed), source="", stable="v1")


def view(*states: ServiceState) -> View:
    return View("store", 1, {state.name: state for state in states})


@dataclass
class Sources:
    """Sources that say what a test says, and what was published of them."""

    clock: FakeClock = field(default_factory=FakeClock)
    queues: dict[EndpointSource, asyncio.Queue[SourceReading | Exception]] = field(default_factory=dict)
    published: list[tuple[list[str], bool]] = field(default_factory=list)
    watched: list[EndpointSource] = field(default_factory=list)
    last_known: dict[EndpointSource, KnownEndpoints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.endpoints = SourcedEndpoints(
            self.watch,
            self.clock,
            lambda services, moved: self.published.append((list(services), moved)),
            self.last_known,
        )

    async def watch(self, source: EndpointSource) -> AsyncIterator[SourceReading]:
        self.watched.append(source)
        try:
            while True:
                reading = await self.queues.setdefault(source, asyncio.Queue()).get()
                if isinstance(reading, Exception):
                    raise reading
                yield reading
        finally:
            self.watched.remove(source)

    async def says(self, source: EndpointSource, *endpoints: Endpoint, problem: str = "") -> None:
        """The source says this, and it is published."""
        before = len(self.published)
        reading = SourceReading(problem=problem) if problem else SourceReading(endpoints)
        self.queues.setdefault(source, asyncio.Queue()).put_nowait(reading)
        await wait_until(lambda: len(self.published) > before)


@pytest.fixture
async def sources() -> AsyncIterator[Sources]:
    made = Sources()
    async with made.endpoints.watching():
        yield made
    assert made.watched == []


async def test_what_a_source_says_is_served_and_nothing_is_guessed(sources: Sources) -> None:
    """Not known, then known, then known to be empty: three different things."""
    sources.endpoints.on_view(view(sourced(v1=A)))
    assert (sources.endpoints.sourced, sources.endpoints.unread_clusters) == ({"scorer": {}}, {"scorer/v1"})
    await sources.says(A, ONE)
    assert sources.endpoints.sourced == {"scorer": {"v1": (ONE,)}}
    assert (sources.endpoints.unread_clusters, sources.endpoints.empty_clusters) == (set(), set())
    await sources.says(A)
    assert sources.endpoints.sourced == {"scorer": {"v1": ()}}
    assert sources.endpoints.empty_clusters == {"scorer/v1"}
    assert sources.published == [(["scorer"], True), (["scorer"], True)]


async def test_the_last_holds_while_the_source_is_away(sources: Sources) -> None:
    """Since when is remembered over several failures; proxies are not served again."""
    sources.endpoints.on_view(view(sourced(v1=A)))
    await sources.says(A, ONE)
    since = sources.clock.wall()
    await sources.says(A, problem="HTTP 503")
    sources.clock.advance(60)
    await sources.says(A, problem="cannot connect")
    status = sources.endpoints.statuses("scorer")["v1"]
    assert (status.endpoints, status.problem, status.since) == ((ONE,), "cannot connect", since)
    assert sources.endpoints.sourced == {"scorer": {"v1": (ONE,)}}
    assert [moved for _, moved in sources.published] == [True, False, False]
    assert describe_source("v1", status, ()) == "v1 has the 1 endpoint that were read last: file /a: cannot connect"
    await sources.says(A, ONE)
    assert sources.endpoints.statuses("scorer")["v1"].problem == ""


async def test_what_was_known_before_a_restart_is_served_until_the_source_is_read(sources: Sources) -> None:
    """It is said, also with what is wrong; a start still waits for the reading; a problem keeps its time."""
    at = sources.clock.wall() - 60
    sources.last_known[A] = KnownEndpoints((ONE,), at)
    sources.endpoints.on_view(view(sourced(v1=A)))
    status = sources.endpoints.statuses("scorer")["v1"]
    assert (sources.endpoints.sourced, status.is_read) == ({"scorer": {"v1": (ONE,)}}, False)
    assert sources.endpoints.unread_clusters == set()
    waiting = asyncio.create_task(sources.endpoints.first_read(within=60))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert describe_source("v1", status, ()) == (
        "v1 has the 1 endpoint that were known before the restart: file /a: it is being read"
    )
    await sources.says(A, problem="HTTP 503")
    await waiting
    sources.clock.advance(60)
    assert sources.endpoints.known() == {A: KnownEndpoints((ONE,), at)}
    assert "before the restart: file /a: HTTP 503" in describe_source(
        "v1", sources.endpoints.statuses("scorer")["v1"], ()
    )
    await sources.says(A, ONE)
    status = sources.endpoints.statuses("scorer")["v1"]
    assert (status.is_read, describe_source("v1", status, ())) == (True, "")
    assert sources.endpoints.known() == {A: KnownEndpoints((ONE,), sources.clock.wall())}
    assert [moved for _, moved in sources.published] == [False, False]


async def test_what_is_too_old_is_not_used_and_not_kept(sources: Sources) -> None:
    """Proxies may have newer endpoints. What no view names yet is kept until it is too old."""
    now = sources.clock.wall()
    sources.last_known |= {A: KnownEndpoints((ONE,), now - OLDEST - 1), B: KnownEndpoints((TWO,), now - OLDEST + 1)}
    sources.endpoints.on_view(view(sourced(v1=A)))
    assert sources.endpoints.unread_clusters == {"scorer/v1"}
    assert sources.endpoints.known().keys() == {B}
    sources.clock.advance(2)
    assert sources.endpoints.known() == {}


async def test_a_source_that_is_away_is_as_old_as_its_problem(sources: Sources) -> None:
    """Not as its last change: until then it was known to be as it was."""
    sources.endpoints.on_view(view(sourced(v1=A)))
    await sources.says(A, ONE)
    sources.clock.advance(500)
    assert sources.endpoints.known()[A].at == sources.clock.wall()
    await sources.says(A, problem="HTTP 503")
    away = sources.clock.wall()
    sources.clock.advance(60)
    assert sources.endpoints.known()[A].at == away


async def test_a_source_of_two_services_is_watched_once_and_of_none_no_more(sources: Sources) -> None:
    """And what is gone is forgotten."""
    sources.endpoints.on_view(view(sourced("one", v1=A, v2=B), sourced("two", v1=A)))
    await wait_until(lambda: len(sources.watched) == 2)
    await sources.says(A, ONE)
    assert sources.published == [(["one", "two"], True)]
    sources.endpoints.on_view(view(sourced("two", v1=A)))
    await wait_until(lambda: sources.watched == [A])
    assert sources.endpoints.sourced == {"two": {"v1": (ONE,)}}
    assert sources.endpoints.statuses("one") == {}


async def test_one_server_behind_two_versions_is_found(sources: Sources) -> None:
    """Behind two sources, and behind a source and the service file; and that it is no more."""
    sources.endpoints.on_view(view(sourced(v1=A, v2=B, v3=TWO)))
    await sources.says(A, ONE, TWO)
    assert sources.endpoints.shared("scorer") == (SharedEndpoint(str(TWO), ("v1", "v3")),)
    await sources.says(B, ONE)
    shared = sources.endpoints.shared("scorer")
    assert {each.versions for each in shared} == {("v1", "v2"), ("v1", "v3")}
    text = describe_source("v2", sources.endpoints.statuses("scorer")["v2"], shared)
    assert text == "10.0.0.1:9001 of v2 is an endpoint of v1 too, and cannot be judged"
    await sources.says(A)
    assert sources.endpoints.shared("scorer") == ()


async def test_a_start_waits_for_the_first_reading_and_not_forever(sources: Sources) -> None:
    """A problem ends the wait as well; silence ends it with the time."""
    sources.endpoints.on_view(view(sourced(v1=A, v2=B)))
    waiting = asyncio.create_task(sources.endpoints.first_read(within=60))
    await sources.says(A, ONE)
    assert not waiting.done()
    await sources.says(B, problem="HTTP 403")
    await asyncio.wait_for(waiting, 10)
    sources.endpoints.on_view(view(sourced(v1=FileSource(path="/silent"))))
    await sources.endpoints.first_read(within=0.01)


async def test_many_changes_are_published_together(sources: Sources) -> None:
    """A rolling update of a hundred pods is a few publications, the last of which has everything."""
    sources.endpoints.on_view(view(sourced(v1=A)))
    await sources.says(A, ONE)
    for number in range(100):
        sources.queues[A].put_nowait(SourceReading((Endpoint(host="10.0.1.1", port=9000 + number),)))
        await asyncio.sleep(0)
    await wait_until(lambda: sources.endpoints.sourced["scorer"]["v1"][0].port == 9099)
    assert len(sources.published) <= 5


async def test_a_defect_in_reading_a_source_is_a_problem_of_that_source(sources: Sources) -> None:
    """The others are read on."""
    sources.endpoints.on_view(view(sourced(v1=A, v2=B)))
    sources.queues.setdefault(A, asyncio.Queue()).put_nowait(ZeroDivisionError())
    await wait_until(lambda: sources.published)
    assert "ZeroDivisionError" in sources.endpoints.statuses("scorer")["v1"].problem
    await sources.says(B, TWO)
    assert sources.endpoints.sourced == {"scorer": {"v2": (TWO,)}}
