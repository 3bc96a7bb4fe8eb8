"""The connections of the HTTP port: who is closed when there are too many, and when they take too long."""

import asyncio
import contextlib
import os
import resource
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import trustme
from aiohttp import web

from controller.process.accept_loop import accepting, listening_sockets
from controller.process.counted_warning import EVERY, CountedWarning
from controller.process.descriptors import FOR_EACH_ADMIN, share_descriptors
from controller.process.door_connections import DoorConnections
from controller.process.servers import site_open
from tests.fakes.clock import FakeClock
from tests.support.process import free_port
from tests.support.waiting import wait_until

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Site:
    """A web site with one page that responds at once and one that responds when it may."""

    port: int = field(default_factory=free_port)
    may: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def slow(self, _request: web.Request) -> web.Response:
        """Respond once that is allowed."""
        self.asked += 1
        await self.may.wait()
        return web.Response(text="late")

    async def fast(self, _request: web.Request) -> web.Response:
        """Respond at once."""
        return web.Response(text="soon")


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes = REQUEST) -> bytes:
        """The first line of the response; empty if the connection was closed."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(request)
            line = await self.reader.readline()
            while line and await self.reader.readline() not in (b"\r\n", b""):
                pass
            await self.reader.read(4)
            return line
        return b""

    async def closed(self) -> None:
        """Wait until the other end closes it."""
        with contextlib.suppress(ConnectionError):
            assert await self.reader.read() == b""


@contextlib.asynccontextmanager
async def open_site(connections: DoorConnections) -> AsyncIterator[Site]:
    """A site with those connections, until the end of the block."""
    site, app = Site(), web.Application()
    app.add_routes([web.get("/", site.fast), web.get("/slow", site.slow)])
    address = f"127.0.0.1:{site.port}"
    async with (
        site_open(app, address, "HALDANE_HTTP_LISTEN", connections, drain=0.1),
        asyncio.timeout(30),
    ):
        yield site
        site.may.set()


@contextlib.asynccontextmanager
async def clients(site: Site, count: int, host: str = "127.0.0.1") -> AsyncIterator[list[Client]]:
    """So many connections, opened one after the other."""
    opened = []
    try:
        for _ in range(count):
            ends = await asyncio.open_connection("127.0.0.1", site.port, local_addr=(host, 0))
            opened.append(Client(*ends))
        yield opened
    finally:
        for client in opened:
            client.writer.transport.abort()


async def test_at_the_limit_the_oldest_without_a_request_gives_way() -> None:
    """Whoever was answered last counts as new; one whose request is under way stays."""
    async with open_site(DoorConnections(4)) as site, clients(site, 4) as (busy, idle, oldest, newest):
        pending = asyncio.create_task(busy.ask(SLOW))
        await wait_until(lambda: site.asked == 1)
        assert await oldest.ask() == b"HTTP/1.1 200 OK\r\n"
        async with clients(site, 1) as (late,):
            assert await late.ask() == b"HTTP/1.1 200 OK\r\n"
            await idle.closed()
            site.may.set()
            assert await pending == b"HTTP/1.1 200 OK\r\n"
            assert await oldest.ask() == await newest.ask() == b"HTTP/1.1 200 OK\r\n"


async def test_where_each_has_a_request_the_oldest_one_gives_way() -> None:
    """So requests that never end keep nobody out."""
    async with open_site(DoorConnections(2)) as site, clients(site, 2) as held:
        pending = []
        for number, each in enumerate(held, 1):
            pending.append(asyncio.create_task(each.ask(SLOW)))
            await wait_until(lambda number=number: site.asked == number)
        async with clients(site, 1) as (late,):
            assert await late.ask() == b"HTTP/1.1 200 OK\r\n"
            assert await pending[0] == b""
            site.may.set()
            assert await pending[1] == b"HTTP/1.1 200 OK\r\n"


async def test_the_host_with_the_most_connections_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host has at most half, whatever it does; those of others stay, however old they are."""
    monkeypatch.setattr("controller.process.door_connections.LOOPBACK", ("127.0.0.1",))
    async with (
        open_site(DoorConnections(6)) as site,
        clients(site, 1) as (ours,),
        clients(site, 1, "127.0.0.3") as (b,),
        clients(site, 9, "127.0.0.2") as theirs,
    ):
        await asyncio.gather(*(each.closed() for each in theirs[:6]))
        assert [await each.ask() for each in (ours, b, *theirs[6:])] == [b"HTTP/1.1 200 OK\r\n"] * 5


@pytest.mark.parametrize("beginning", [b"", REQUEST[:20], REQUEST[:-2]])
async def test_a_connection_without_a_whole_request_is_closed(beginning: bytes) -> None:
    """It may trickle as it likes; one that sends its request in time stays longer."""
    async with open_site(DoorConnections(9, first_request=0.4)) as site, clients(site, 2) as (slow, good):
        assert await good.ask() == b"HTTP/1.1 200 OK\r\n"
        slow.writer.write(beginning)
        await slow.closed()
        assert await good.ask() == b"HTTP/1.1 200 OK\r\n"


async def test_a_connection_is_closed_some_time_after_its_last_response() -> None:
    """Also if half of another request comes; one whose request takes longer than that is waited for."""
    async with open_site(DoorConnections(9, idle=0.4)) as site, clients(site, 2) as (client, busy):
        pending = asyncio.create_task(busy.ask(SLOW))
        assert await client.ask() == b"HTTP/1.1 200 OK\r\n"
        client.writer.write(REQUEST[:20])
        await client.closed()
        site.may.set()
        assert await pending == b"HTTP/1.1 200 OK\r\n"


async def test_by_tls_the_handshake_is_part_of_that_time() -> None:
    """Nor does a connection without one keep others out."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def ask(site: Site) -> bytes:
        client = Client(*await asyncio.open_connection("localhost", site.port, ssl=trusting))
        try:
            return await client.ask()
        finally:
            client.writer.transport.abort()

    async with open_site(DoorConnections(2, context, first_request=1.0)) as site, clients(site, 2) as (first, second):
        assert await ask(site) == b"HTTP/1.1 200 OK\r\n"
        await first.closed()
        await second.closed()
        assert await ask(site) == b"HTTP/1.1 200 OK\r\n"


async def test_at_the_end_no_descriptor_stays_with_a_client_that_does_not_end_its_tls() -> None:
    """It has read its response and says nothing more, so the end of TLS would be waited for."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    descriptors = len(os.listdir("/dev/fd"))
    async with open_site(DoorConnections(2, context)) as site:
        client = Client(*await asyncio.open_connection("localhost", site.port, ssl=trusting))
        assert await client.ask() == b"HTTP/1.1 200 OK\r\n"
        client.writer.transport.pause_reading()  # nor does it see that the other end wants to
    assert len(os.listdir("/dev/fd")) == descriptors + 1
    client.writer.transport.abort()


async def test_a_closed_connection_takes_no_place() -> None:
    """Those that clients close are not counted, however many there were."""
    async with open_site(DoorConnections(3)) as site, clients(site, 1) as (first,):
        for _ in range(5):
            async with clients(site, 1) as (client,):
                assert await client.ask() == b"HTTP/1.1 200 OK\r\n"
        assert await first.ask() == b"HTTP/1.1 200 OK\r\n"


async def test_accepting_makes_room_where_no_descriptor_is_left() -> None:
    """A connection is closed for the one that waits; the log has one line of it, however often it was tried."""
    (listener,) = await listening_sockets("127.0.0.1", 0)
    address, accepted, asked = listener.getsockname(), [], 0

    def make_room() -> bool:
        nonlocal asked
        asked += 1
        if asked < 3 or not fillers:
            return False
        os.close(fillers.pop())
        return True

    reader, writer = None, None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.open("/dev/null", os.O_RDONLY)]
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 32, hard))
    try:
        reader, writer = await asyncio.open_connection(*address)
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        with accepting(listener, accepted.append, make_room):
            await wait_until(lambda: accepted)
            with pytest.raises(OSError, match="Too many open files"):
                os.open("/dev/null", os.O_RDONLY)
            for _ in range(9):  # turns of the event loop: nobody else waits, so no more room is made
                await asyncio.sleep(0)
            assert asked == 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in fillers:
            os.close(descriptor)
        for each in (listener, *accepted):
            each.close()
        if writer:
            writer.close()
    assert reader is not None


def test_a_warning_is_counted_and_logged_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """The first at once; those of the next minute in one line."""
    now = 100.0
    warning = CountedWarning("flooded", monotonic=lambda: now)
    for _ in range(1000):
        warning.count(host="a")
    now += EVERY
    warning.count(host="b")
    lines = capsys.readouterr().out.splitlines()
    assert [("count=1 " in line, "count=1000 " in line) for line in lines] == [(True, False), (False, True)]


@pytest.mark.parametrize("limit", [256, 1024, 4096, 20_000, 1_048_576])
def test_the_ports_leave_descriptors_for_the_controller(limit: int) -> None:
    """Proxies get the most, and an eighth at least is nobody's."""
    shares = share_descriptors(limit)
    left = limit - shares.xds - shares.http - shares.admin * FOR_EACH_ADMIN
    assert left >= min(512, limit // 8)
    assert min(shares) == shares.admin >= limit // 16 or shares.admin == 512
    assert shares.xds >= limit * 0.4


async def test_an_old_connection_ends_with_its_response() -> None:
    """Or at once if it has no request: its certificate may have been revoked since. A young one goes on."""
    clock = FakeClock()
    connections = DoorConnections(9, age=60, first_request=1000, idle=1000, monotonic=clock.monotonic)
    async with open_site(connections) as site, clients(site, 2) as (busy, idle):
        assert await idle.ask() == b"HTTP/1.1 200 OK\r\n"
        pending = asyncio.create_task(busy.ask(SLOW))
        await wait_until(lambda: site.asked == 1)
        clock.advance(59)
        async with clients(site, 1) as (young,):
            assert await young.ask() == b"HTTP/1.1 200 OK\r\n"
            clock.advance(2)
            await idle.closed()
            assert not busy.reader.at_eof()
            site.may.set()
            assert await pending == b"HTTP/1.1 200 OK\r\n"
            await busy.closed()
            assert await young.ask() == b"HTTP/1.1 200 OK\r\n"
