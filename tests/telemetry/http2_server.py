"""A server that speaks HTTP/2 without TLS, and breaks its answers as the request asks for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

from tests.support.http_server import connections_made
from tests.support.process import free_port

HEADERS = [(":status", "200"), ("content-type", "application/octet-stream")]


@contextlib.asynccontextmanager
async def http2_server() -> AsyncIterator[int]:
    """A server on the port that it gives.

    The header `ending` says how each answer ends after its first part: `whole`, `reset`, `closed` (the connection) or
    `stalled`; `reset at once` has no part at all.
    """
    connections: list[_Connection] = []

    def connect() -> _Connection:
        connections.append(_Connection())
        return connections[-1]

    port = free_port()
    async with await asyncio.get_running_loop().create_server(connect, "127.0.0.1", port):
        yield port
        await connections_made()
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)  # an aborted connection is closed in the next turn of the event loop


class _Connection(asyncio.Protocol):
    """One connection of a client."""

    def close(self) -> None:
        """End it."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._connection.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Answer every request in it."""
        for event in self._connection.receive_data(data):
            if isinstance(event, RequestReceived):
                self._answer(event.stream_id, dict(event.headers).get("ending", "whole"))
        self._flush()

    def _answer(self, stream: int, ending: str) -> None:
        if ending == "reset at once":
            self._connection.reset_stream(stream, error_code=2)
            return
        self._connection.send_headers(stream, HEADERS)
        self._connection.send_data(stream, b"part")
        if ending == "whole":
            self._connection.end_stream(stream)
        elif ending != "stalled":
            asyncio.get_running_loop().call_later(0.02, self._break, stream, ending)

    def _break(self, stream: int, ending: str) -> None:
        if ending == "reset":
            self._connection.reset_stream(stream, error_code=2)
            self._flush()
        else:
            self._transport.close()

    def _flush(self) -> None:
        self._transport.write(self._connection.data_to_send())
