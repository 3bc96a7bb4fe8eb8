"""HTTP servers in a test's own event loop, closed with every connection that they were given."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from aiohttp import web


async def connections_made() -> None:
    """Wait until each connection that this event loop has accepted has reached its protocol; then close the server.

    asyncio hands a connection over in a task of its own. If its server closes before that task has run, asyncio drops
    the connection without closing it: it is open until it is collected as garbage, in a later test.
    """
    while handed_over := [task for task in asyncio.all_tasks() if _accepts(task)]:
        await asyncio.wait(handed_over)


async def close_server(runner: web.AppRunner) -> None:
    """Stop listening and cut every connection."""
    for site in list(runner.sites):
        await connections_made()
        await site.stop()
    if runner.server:
        for protocol in list(runner.server.connections):
            if protocol.transport:
                protocol.transport.abort()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def http_server(app: web.Application, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server of this application, until the end of the block."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True, ssl_context=tls).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await close_server(runner)


def _accepts(task: "asyncio.Task[object]") -> bool:
    return getattr(task.get_coro(), "__qualname__", "").endswith("._accept_connection2")
