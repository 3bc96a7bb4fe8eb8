"""Two model servers and one client on one kept connection, in a process of their own: when does the answer change?

Writes the two servers' ports; then reads the port to ask, and after that, for each version named, writes the moment
(of the machine's monotonic clock) at which the first answer of that version was there.
"""

import asyncio
import json
import sys
import time


async def _serve(version: str) -> int:
    body = version.encode()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    _SERVERS.append(server)
    return int(server.sockets[0].getsockname()[1])


_SERVERS: list[asyncio.Server] = []


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    writer.write(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return (await reader.readexactly(length)).decode()


async def main() -> None:
    """Until standard input ends."""
    print(json.dumps([await _serve("v1"), await _serve("v2")]), flush=True)
    port = int(await asyncio.to_thread(sys.stdin.readline))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while version := (await asyncio.to_thread(sys.stdin.readline)).strip():
        deadline = time.monotonic() + 10
        while await _ask(reader, writer) != version:
            if time.monotonic() > deadline:
                raise SystemExit(f"{version} never answered")
        print(time.monotonic(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
