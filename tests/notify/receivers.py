"""A program on the loopback that takes what is posted to it, and that can be told to misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.http_server import connections_made

CHUNK = b"x" * 65536
ANSWER = "HTTP/1.1 {} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}"


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers every request as `does` says: a status, or one of the names of `_misbehave`."""

    does: int | str = 200
    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    sent: int = 0
    """Bytes of endless answers that someone took."""
    connections: set["asyncio.Task[None]"] = field(default_factory=set)
    """Those that are open."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/take"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task
        self.connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                self.posted.append(await _read(reader))
                await self._answer(writer)
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()  # a client that does not read would keep it open
        finally:
            self.connections.remove(task)

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        does = self.does
        if isinstance(does, int):
            body = "" if does == 204 else "ok"
            writer.write(ANSWER.format(does, len(body), "", body).encode())
            await writer.drain()
        else:
            await self._misbehave(does, writer)

    async def _misbehave(self, does: str, writer: asyncio.StreamWriter) -> None:
        match does:
            case "hang":
                await asyncio.get_running_loop().create_future()
            case "redirect":
                writer.write(
                    ANSWER.format(302, 0, f"Location: http://127.0.0.1:{self.port}/elsewhere\r\n", "").encode()
                )
            case "html":
                writer.write(ANSWER.format(200, 6, "Content-Type: text/html\r\n", "<html>").encode())
            case "garbage":
                writer.write(b"SSH-2.0-what\r\n")
            case "nothing":
                pass
            case "endless body":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._endless(writer, CHUNK)
            case "endless headers":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                await self._endless(writer, b"X-More: and more\r\n" * 100)
            case "drip":
                for byte in b"HTTP/1.1 200 OK" * 1000:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case _:
                raise AssertionError(does)
        await writer.drain()

    async def _endless(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        while True:
            writer.write(chunk)
            await writer.drain()
            self.sent += len(chunk)


async def _read(reader: asyncio.StreamReader) -> Posted:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Posted(first.split()[1], headers, await reader.readexactly(int(headers.get("content-length", "0"))))


@contextlib.asynccontextmanager
async def receiving(does: int | str = 200, port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver until the end of the block."""
    receiver = Receiver(does)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        await connections_made()
        server.close()
        await asyncio.sleep(0)  # each has a task by now, which registers itself
        open_still = list(receiver.connections)
        for task in open_still:
            task.cancel()
        await asyncio.gather(*open_still)
        await asyncio.sleep(0)  # an aborted connection is closed in the next turn of the event loop
