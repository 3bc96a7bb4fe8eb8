"""The connections of a port of operators: bounded in number and time, so that whoever comes with a request gets in."""

import asyncio
import contextlib
import math
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from controller.process.accept_loop import accepting
from controller.process.counted_warning import CountedWarning

FIRST_REQUEST = 10.0
"""Seconds in which a new connection must have made its TLS handshake and sent a whole request's headers; to the admin
port, anything."""
IDLE = 75.0
"""Seconds from one response to the headers of the next request: a scraper that asks once a minute stays."""
SWEEP = 0.5
"""Seconds between two looks for connections whose time is over."""
LOOPBACK = ("127.", "::1")
"""How addresses begin that many clients share: all programs of this machine."""


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    host: str
    task: "asyncio.Task[None]"
    """Hands the connection over to its protocol."""
    opened: float
    """When it was opened, on the monotonic clock."""
    since: float
    """When it was opened, or its last request began or ended."""
    patience: float
    """Seconds in which it must send a request."""
    transport: asyncio.Transport | None = None
    """None until then."""
    busy: bool = False
    """Whether a request is being responded to."""

    @property
    def closed(self) -> bool:
        # Not `transport.is_closing()`: TLS waits for the client's end for half a minute, and keeps the descriptor.
        return self.socket.fileno() < 0

    def close(self) -> None:
        if self.transport:
            self.transport.abort()
        else:
            self.task.cancel()


@dataclass(slots=True)
class DoorConnections:
    """Accepts connections for a server and closes those that are too many or too slow.

    At `limit` a new one takes the place of the oldest that have no request, of the host that has the most; if each has
    a request, of the one whose request is oldest. A host other than this one has at most half of them.
    """

    limit: int
    """Connections at once."""
    context: ssl.SSLContext | None = None
    """TLS, for those that do not come through a UNIX socket."""
    first_request: float = FIRST_REQUEST
    idle: float = IDLE
    age: float = math.inf
    """Seconds that a connection lives: then it ends after the response that is being made, or at once if it is idle."""
    monotonic: Callable[[], float] = time.monotonic
    _open: dict[int, _Connection] = field(default_factory=dict)
    """Descriptor -> its connection; those that are closed stay until the next look."""
    _evictions: CountedWarning = field(default_factory=lambda: CountedWarning("connections_evicted"))

    @contextlib.contextmanager
    def accepting(self, listener: socket.socket, protocols: Callable[[], asyncio.Protocol]) -> Iterator[None]:
        """Accept the connections of that socket, each with a protocol of its own, until the end of the block."""
        loop = asyncio.get_running_loop()
        context = None if listener.family == socket.AF_UNIX else self.context

        def admit(connection: socket.socket) -> None:
            connection.setblocking(False)
            host, now = _host(connection), self.monotonic()
            self._make_room_for(host)
            task = loop.create_task(self._hand_over(connection, protocols, context))
            entry = self._open[connection.fileno()] = _Connection(connection, host, task, now, now, self.first_request)
            task.add_done_callback(lambda _: None if entry.transport else connection.close())

        try:
            with accepting(listener, admit, self.make_room):
                yield
        finally:
            for each in self._live():
                if each.transport is None:  # it has not reached its protocol, which would close it
                    each.close()

    async def sweep(self) -> None:
        """Close the connections whose time is over, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP)
            now = self.monotonic()
            for each in self._live():
                if not each.busy and (now - each.since > each.patience or self._is_old(each)):
                    each.close()

    async def abort(self) -> None:
        """Close all of them, without regard to what is still to be sent."""
        while live := self._live():
            for each in live:
                each.close()
            await asyncio.sleep(0)

    def make_room(self) -> bool:
        """Close connections that are missed least; False if there is none."""
        return self._evict(self._live())

    def on_data(self, transport: asyncio.BaseTransport) -> None:
        """That connection is in use: it counts as new, and may be silent for as long as there is room."""
        if entry := self._open.get(transport.get_extra_info("socket").fileno()):
            entry.since, entry.patience = self.monotonic(), math.inf

    @contextlib.contextmanager
    def responding(self, transport: asyncio.BaseTransport | None) -> Iterator[Callable[[], bool]]:
        """A request of that connection is responded to as long as the block runs. The block may ask whether the
        connection is to end with this response."""
        peer = transport.get_extra_info("socket") if transport else None
        entry = self._open.get(peer.fileno()) if peer else None
        if entry is None:  # it is closed already
            yield lambda: True
            return
        entry.busy, entry.since = True, self.monotonic()
        try:
            yield lambda: self._is_old(entry)
        finally:
            entry.busy, entry.since, entry.patience = False, self.monotonic(), self.idle

    def middleware(self) -> Middleware:
        """The middleware that tells which connections have a request, and closes those that are too old."""

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            with self.responding(request.transport) as ends:
                response = await handler(request)
                if ends():
                    response.force_close()
                return response

        return count

    async def _hand_over(
        self, connection: socket.socket, protocols: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None
    ) -> None:
        entry = self._open[connection.fileno()]
        handshake = self.first_request if context else None
        with contextlib.suppress(OSError, TimeoutError):  # that is no TLS, or the client has gone again
            entry.transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                protocols, connection, ssl=context, ssl_handshake_timeout=handshake
            )

    def _is_old(self, connection: _Connection) -> bool:
        return self.monotonic() - connection.opened > self.age

    def _live(self) -> list[_Connection]:
        self._open = {number: each for number, each in self._open.items() if not each.closed}
        return list(self._open.values())

    def _make_room_for(self, host: str) -> None:
        most_of_host = max(1, self.limit // 2)
        if len(self._open) < most_of_host:
            return
        live = self._live()
        of_host = [each for each in live if each.host == host]
        if not host.startswith((*LOOPBACK, "unix")) and len(of_host) >= most_of_host:
            self._evict(of_host)
        elif len(live) >= self.limit:
            self._evict(live)

    def _evict(self, candidates: Collection[_Connection]) -> bool:
        if not candidates:
            return False
        host, count = Counter(each.host for each in candidates).most_common(1)[0]
        of_host = [each for each in candidates if each.host == host]
        # Several at once, so that in a flood not every new connection needs this search.
        idle = nsmallest(1 + self.limit // 32, (each for each in of_host if not each.busy), key=_since)
        for victim in idle or [min(of_host, key=_since)]:
            self._evictions.count(host=host, connections=count)
            victim.close()
        return True


def _since(connection: _Connection) -> float:
    return connection.since


def _host(connection: socket.socket) -> str:
    if connection.family == socket.AF_UNIX:
        return "unix"
    try:
        return str(connection.getpeername()[0])
    except OSError:
        return "gone"  # it was closed before it was accepted
