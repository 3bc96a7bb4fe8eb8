"""Tens of thousands of requests in seconds: an HTTP/1.1 client that pipelines, and a server that only counts heads."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence

BATCH = 100
"""Requests of one write: Envoy handles those of a connection one after the other."""
CONNECTIONS = 4
END = b"\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0" + END
VERSION = re.compile(rb"x-haldane-version: (\S+)\r\n")


class _Counting(asyncio.Protocol):
    """Responds to each head with an empty 200. Requests have no bodies."""

    def __init__(self, open_now: set[asyncio.WriteTransport]) -> None:
        self._open_now = open_now
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._open_now.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._open_now.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(END)
        self._transport.write(RESPONSE * len(heads))


@contextlib.asynccontextmanager
async def quick_model() -> AsyncIterator[str]:
    """HOST:PORT of a server that responds to everything with an empty 200."""
    open_now: set[asyncio.WriteTransport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Counting(open_now), "127.0.0.1", 0)
    async with server:
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            for transport in open_now:
                transport.abort()
            await asyncio.sleep(0)


async def versions_of(port: int, header: str, values: Sequence[str]) -> list[str]:
    """The version that responds to a request with each value of that header, in their order."""
    share = -(-len(values) // CONNECTIONS)
    parts = (values[at : at + share] for at in range(0, len(values), share))
    return [version for part in await asyncio.gather(*(_ask(port, header, p) for p in parts)) for version in part]


async def _ask(port: int, header: str, values: Sequence[str]) -> list[str]:
    """The same, by one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    versions: list[str] = []
    try:
        for at in range(0, len(values), BATCH):
            batch = values[at : at + BATCH]
            heads = (f"GET / HTTP/1.1\r\nhost: a\r\n{header}: {value}\r\n\r\n" for value in batch)
            writer.write("".join(heads).encode())
            for _ in batch:
                head = await reader.readuntil(END)
                found = VERSION.search(head)
                assert found, f"no version in {head!r}"
                versions.append(found[1].decode())
        return versions
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
