"""A server that writes HTTP/1 byte by byte, and ends its responses as no server library would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.support.http_server import connections_made

HEAD = "HTTP/1.1 {}\r\nconnection: {}\r\n{}\r\n\r\n"
LENGTH, CHUNKED, NEITHER = "content-length: 8", "transfer-encoding: chunked", "x-length: none"
RESPONSES = {
    "whole": (HEAD.format("200 OK", "keep-alive", LENGTH), "12345678"),
    "moved": (HEAD.format("302 Found", "keep-alive", "content-length: 0\r\nlocation: /"), ""),
    "too many": (HEAD.format("429 Too Many Requests", "keep-alive", LENGTH), "12345678"),
    "garbage": (HEAD.format("200 OK", "keep-alive", CHUNKED), "4\r\npart\r\nno chunk\r\n"),
    "cut": (HEAD.format("200 OK", "close", LENGTH), "part"),
    "cut 404": (HEAD.format("404 Not Found", "close", LENGTH), "part"),
    "cut 503": (HEAD.format("503 Unavailable", "close", LENGTH), "part"),
    "without a length": (HEAD.format("200 OK", "close", NEITHER), "part"),
    "garbage at once": ("SSH-2.0-what\r\n", ""),
}
"""By the header `ending`: the head and the body of the response. After a `connection: close` it is closed."""


@contextlib.asynccontextmanager
async def raw_http1_server() -> AsyncIterator[int]:
    """A server on the port that it gives."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                (ending,) = [line[8:] for line in request.split("\r\n") if line.startswith("ending: ")]
                head, body = RESPONSES[ending]
                writer.write((head + body).encode())
                await writer.drain()
                if "connection: close" in head:
                    break
        writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await connections_made()
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # an aborted connection is closed in the next turn of the event loop
