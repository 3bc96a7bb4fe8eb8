"""A server of the tests ends with every connection that it was given."""

import asyncio
import contextlib
import gc
import socket
import warnings

from aiohttp import web

from tests.support.http_server import close_server


async def test_a_connection_that_comes_as_the_server_closes_is_closed_too() -> None:
    """At whichever turn of the event loop the server closes after the kernel has accepted the connection."""
    for turns in range(6):
        runner = web.AppRunner(web.Application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        with socket.create_connection(runner.addresses[0][:2]) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await close_server(runner)
            client.setblocking(False)
            with contextlib.suppress(ConnectionResetError):  # it is cut in one way or the other
                async with asyncio.timeout(5):
                    assert await asyncio.get_running_loop().sock_recv(client, 1) == b"", turns
        del runner
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always")
            gc.collect()
        assert [str(warning.message) for warning in left] == [], turns
