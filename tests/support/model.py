"""A model server that answers with its version, and misbehaves as a test sets it to."""

import asyncio
import random
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from controller.demo.harness.request_result import VERSION_HEADER
from tests.support.http_server import close_server
from tests.support.process import free_port

PART = b"data: 0.25\n\n"


@dataclass(slots=True)
class Behaviour:
    """What the server does from now on. `errors` is the share of requests answered with `status`; seconds."""

    errors: float = 0.0
    status: int = 500
    delay: float = 0.0
    slow: float = 1.0
    """The share of the requests that are delayed."""
    hang: float = 0.0
    """The share of the requests that are never answered."""
    reset: float = 0.0
    """The share of the requests whose connection is cut in the place of an answer."""
    body: str = "plain"
    """How a good answer is sent: `plain` (with its length), `chunked` or `sse`."""
    cut: float = 0.0
    """The share of the good answers whose connection is cut after the headers and a part of the body."""
    first: float = 0.0
    """Seconds from the headers of a `chunked` or `sse` answer to the first part of its body."""
    lasts: tuple[float, float] = (0.0, 0.0)
    """Seconds from there to the other parts: something between the two."""
    stall: float = 0.0
    """The share of the good answers that never go on after the headers and a part of the body."""
    health: int = 200
    """The status of `/health`, which never reaches the model."""


@dataclass
class ModelServer:
    """Serves every path in the test's own event loop. `behaviour` may be changed at any time."""

    version: str
    behaviour: Behaviour = field(default_factory=Behaviour)
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    seen: int = 0
    """Requests that reached it."""
    given: dict[int, int] = field(default_factory=dict)
    """Answers by status."""
    tls: ssl.SSLContext | None = None
    socket: Path | None = None
    """Where it listens in place of a port."""

    def __post_init__(self) -> None:
        self._dice = random.Random(self.version)
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """HOST:PORT or unix:PATH, for a service file."""
        return f"unix:{self.socket}" if self.socket else f"{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen; on the same port as before after a `crash`."""
        app = web.Application()
        app.router.add_route("GET", "/health", self._health)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        if self.socket:
            await web.UnixSite(self._runner, self.socket).start()
        else:
            await web.TCPSite(self._runner, self.host, self.port, reuse_address=True, ssl_context=self.tls).start()

    async def crash(self) -> None:
        """Stop listening and cut every connection: further ones are refused."""
        if self._runner:
            runner, self._runner = self._runner, None
            await close_server(runner)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=self.behaviour.health)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen += 1
        now = self.behaviour
        if self._dice.random() < now.hang:
            await asyncio.sleep(3600)
        if now.delay and self._dice.random() < now.slow:
            await asyncio.sleep(now.delay)
        if self._dice.random() < now.reset:
            if request.transport:
                request.transport.abort()
            return web.Response()
        status = now.status if self._dice.random() < now.errors else 200
        if status == 200 and (now.body != "plain" or now.cut or now.stall):
            return await self._stream(request)
        self.given[status] = self.given.get(status, 0) + 1
        return web.json_response({"model_version": self.version}, status=status, headers={VERSION_HEADER: self.version})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """A good answer in four parts, whole or not."""
        now = self.behaviour
        response = web.StreamResponse(headers={VERSION_HEADER: self.version})
        if now.body == "sse":
            response.content_type = "text/event-stream"
        if now.body == "plain":
            response.content_length = 4 * len(PART)
        else:
            response.enable_chunked_encoding()
        await response.prepare(request)
        await asyncio.sleep(now.first)
        await response.write(PART)
        if self._dice.random() < now.stall:
            await asyncio.sleep(3600)
        if self._dice.random() < now.cut:
            await asyncio.sleep(0.01)
            if request.transport:
                request.transport.abort()
            return response
        await asyncio.sleep(self._dice.uniform(*now.lasts))
        for _ in range(3):
            await response.write(PART)
        self.given[200] = self.given.get(200, 0) + 1
        return response
