"""A real Envoy that is in sync with an xDS server of the test, and servers that say what they were sent."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import Children
from controller.xds.resources.route_messages import VERSION_HEADER
from tests.support.http_server import http_server
from tests.support.process import free_port
from tests.xds.envoy_under_load import EnvoyUnderLoad

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Reply:
    """What a client got; the names of headers in lower case.

    `body` is as much as came; `whole` says whether it ended as it should.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    @property
    def version(self) -> str:
        """The version that the response says it is of."""
        return self.headers.get(VERSION_HEADER, "")


async def echo(request: web.Request) -> web.Response:
    """A response that says what was requested."""
    return web.json_response({"path": request.path_qs, "headers": dict(request.headers)})


@contextlib.asynccontextmanager
async def model(handler: Handler = echo) -> AsyncIterator[str]:
    """HOST:PORT of a server that handles every request so."""
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handler)
    async with http_server(app) as url:
        yield url.removeprefix("http://")


@contextlib.asynccontextmanager
async def envoy_in_sync(
    processes: Children, protocol: str, state: Callable[[EnvoyUnderLoad], ServiceState]
) -> AsyncIterator[EnvoyUnderLoad]:
    """An Envoy that serves that state of a service."""
    async with EnvoyUnderLoad((), free_port()) as playing:
        playing.publish(state(playing))
        await playing.open()
        await playing.envoy(processes, protocol)
        yield playing


async def get(
    port: int,
    path: str = "/",
    *,
    headers: dict[str, str] | None = None,
    timeout: float = 20.0,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """One request to that port of 127.0.0.1."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{path}"
    limit = aiohttp.ClientTimeout(total=timeout)
    async with (
        aiohttp.ClientSession(timeout=limit) as session,
        session.get(url, headers=headers, ssl=tls or True) as response,
    ):
        body, whole = b"", True
        try:
            async for part in response.content.iter_any():
                body += part
        except aiohttp.ClientError:
            whole = False
        headers_got = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, headers_got, body, whole)


async def get_many(port: int, count: int, path: str = "/", *, headers: dict[str, str] | None = None) -> list[Reply]:
    """So many requests, ten at a time."""
    places = asyncio.Semaphore(10)

    async def one() -> Reply:
        async with places:
            return await get(port, path, headers=headers)

    return await asyncio.gather(*(one() for _ in range(count)))
