"""Many xDS clients in a process of their own, as light as they can be: they acknowledge the routes they are sent.

Started by the benchmarks with the server's address, or several with commas in between, over which the connections are
spread; the number of streams and of connections, and how many streams may be opening at the same time; and, for mutual
TLS, a folder with certificates. Once all have their routes it writes how often a stream was tried. For each line that
it reads then it writes that it has read it, and once every stream was sent something since, when the first and the last
was (of the machine's monotonic clock).

What is measured is the server, on a machine that runs the clients too. So they speak just enough HTTP/2 (RFC 9113) for
a gRPC server: a tenth of the CPU that a gRPC client in Python takes. They are no client to learn from.
"""

import asyncio
import gc
import json
import resource
import ssl
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.resources.type_urls import RDS

LATE = "acknowledge late"
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4
LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535
HEAD = struct.Struct(">HBBBI")
"""The head of a frame: the length in two parts, the type, the flags, the stream."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame of HTTP/2."""
    return HEAD.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def message(stream: int, body: bytes) -> bytes:
    """A DATA frame with one gRPC message."""
    return frame(DATA, 0, stream, struct.pack(">BI", 0, len(body)) + body)


def headers(path: str, *, tls: bool) -> bytes:
    """The header block of a gRPC call: HPACK (RFC 7541) without a table and without compression."""
    literals = [(b"\x04", path), (b"\x01", "bench"), (b"\x0f\x10", "application/grpc"), (b"\x00\x02te", "trailers")]
    block = b"\x83" + (b"\x87" if tls else b"\x86")  # POST, and the scheme
    return block + b"".join(name + bytes([len(value)]) + value.encode() for name, value in literals)


class Crowd:
    """All the streams. Each is tried again until it stands, as Envoy does."""

    def __init__(self, delta: bool, table: str, streams: int, opening: int) -> None:
        self._delta = delta
        self._table = table
        self._streams = streams
        self._opening = opening
        self._to_open: deque[tuple[Connection, int]] = deque()
        self._served: set[int] = set()
        self.all_served = asyncio.Event()
        self.marked: set[int] = set()
        """The streams that were sent something since the mark."""
        self.first = self.last = 0.0
        self.all_marked = asyncio.Event()
        self._is_late = False
        self._late: list[tuple[Connection, bytes]] = []
        self.tries = 0
        self.method = METHOD + ("DeltaAggregatedResources" if delta else "StreamAggregatedResources")

    def open(self, connections: "list[Connection]") -> None:
        """Every stream, spread over the connections."""
        self._to_open.extend((connections[number % len(connections)], number) for number in range(self._streams))
        for _ in range(min(self._opening, self._streams)):
            self._open_next()

    def mark(self, *, late: bool) -> None:
        """From now on, what is sent counts, and is acknowledged at once, or `late`: once all were sent it."""
        self._is_late = late
        self.marked.clear()
        self.all_marked.clear()
        self.first = 0.0

    def on_message(self, connection: "Connection", stream: int, number: int, data: bytes) -> None:
        """A response on a stream."""
        response = (pb.DeltaDiscoveryResponseHead if self._delta else pb.DiscoveryResponseHead).FromString(data)
        ack = message(stream, self._ack(response))
        if number not in self._served:
            self._served.add(number)
            self._open_next()
            if len(self._served) == self._streams:
                self.all_served.set()
        elif not self.all_marked.is_set():
            self._note(number)
        if self._is_late:
            self._late.append((connection, ack))
        else:
            connection.send_data(ack)
        if self._is_late and len(self.marked) == self._streams:
            self._is_late = False
            for each, held in self._late:
                each.send_data(held)
            self._late.clear()

    def on_end(self, connection: "Connection", number: int) -> None:
        """A stream has ended."""
        again = 0.1 + 0.1 * (number % 7)
        asyncio.get_running_loop().call_later(again, self._open, connection, number)

    def _note(self, number: int) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.marked.add(number)
        if len(self.marked) == self._streams:
            self.all_marked.set()

    def _open_next(self) -> None:
        if self._to_open:
            self._open(*self._to_open.popleft())

    def _open(self, connection: "Connection", number: int) -> None:
        self.tries += 1
        connection.open(number, self._request(node=pb.Node(id=f"bench-{number}", cluster="edge")))

    def _ack(self, response: pb.DiscoveryResponseHead | pb.DeltaDiscoveryResponseHead) -> bytes:
        if isinstance(response, pb.DeltaDiscoveryResponseHead):
            return self._request(response_nonce=response.nonce)
        return self._request(response_nonce=response.nonce, version_info=response.version_info)

    def _request(self, **fields: Any) -> bytes:
        if self._delta:
            names = [self._table] if "node" in fields else []
            return pb.DeltaDiscoveryRequest(type_url=RDS, resource_names_subscribe=names, **fields).SerializeToString()
        return pb.DiscoveryRequest(type_url=RDS, resource_names=[self._table], **fields).SerializeToString()


class Connection(asyncio.Protocol):
    """An HTTP/2 connection. What it is to receive has no limit; what it sends keeps to the server's window."""

    def __init__(self, crowd: Crowd, *, tls: bool) -> None:
        self._crowd = crowd
        self._headers = headers(crowd.method, tls=tls)
        self._numbers: dict[int, int] = {}
        """HTTP/2 stream -> the number of the client."""
        self._parts: dict[int, bytes] = {}
        """HTTP/2 stream -> the beginning of a message."""
        self._next = 1
        self._received = b""
        self._consumed = 0
        self._window = DEFAULT_WINDOW
        self._waiting: deque[bytes] = deque()
        """Frames for which the window has no room."""
        self._out: list[bytes] = []
        self._is_reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to speak HTTP/2."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, LARGEST_WINDOW)
        widen = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, widen))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server must not end it."""
        if self._numbers:
            sys.exit(f"the connection is lost: {exc}")

    def close(self) -> None:
        """End the connection, and all streams on it."""
        self._numbers.clear()
        self._transport.close()

    def open(self, number: int, request: bytes) -> None:
        """Open a stream with its first request."""
        stream, self._next = self._next, self._next + 2
        self._numbers[stream] = number
        self._send(frame(HEADERS, END_HEADERS, stream, self._headers))
        self.send_data(message(stream, request))

    def send_data(self, data: bytes) -> None:
        """Send a DATA frame, or keep it until the server's window has room for it."""
        self._waiting.append(data)
        self._send_waiting()

    def data_received(self, data: bytes) -> None:
        """Handle all frames that are complete, and send together what follows from them."""
        data, at = self._received + data, 0
        self._is_reading = True
        while len(data) - at >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + HEAD.size + (high << 8) + low
            if len(data) < end:
                break
            self._on_frame(kind, flags, stream, data[at + HEAD.size : end])
            at = end
        self._received, self._is_reading = data[at:], False
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _send(self, data: bytes) -> None:
        if self._is_reading:
            self._out.append(data)
        else:
            self._transport.write(data)

    def _send_waiting(self) -> None:
        while self._waiting and len(self._waiting[0]) - HEAD.size <= self._window:
            data = self._waiting.popleft()
            self._window -= len(data) - HEAD.size
            self._send(data)

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._on_data(stream, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._send(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._send_waiting()
        elif kind == GOAWAY:
            sys.exit(f"the server ends the connection: {payload!r}")
        if (kind in (DATA, HEADERS) and flags & END_STREAM) or kind == RST_STREAM:
            self._parts.pop(stream, None)
            self._crowd.on_end(self, self._numbers.pop(stream))

    def _on_data(self, stream: int, payload: bytes) -> None:
        self._consumed += len(payload)
        if self._consumed > LARGEST_WINDOW // 2:
            self._send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed)))
            self._consumed = 0
        data = self._parts.pop(stream, b"") + payload
        while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5], "big")):
            self._crowd.on_message(self, stream, self._numbers[stream], data[5:end])
            data = data[end:]
        if data:
            self._parts[stream] = data


def tls(folder: str) -> ssl.SSLContext:
    """Mutual TLS with `tls.crt`, `tls.key` and `ca.crt` of that folder."""
    context = ssl.create_default_context(cafile=str(Path(folder) / "ca.crt"))
    context.load_cert_chain(Path(folder) / "tls.crt", Path(folder) / "tls.key")
    context.set_alpn_protocols(["h2"])
    return context


async def main(
    address: str, streams: int, connections: int, kind: str, table: str, opening: int, folder: str = ""
) -> None:
    """Until standard input ends."""
    gc.disable()  # a scan of thousands of streams would count as time of the server
    crowd, loop = Crowd(kind == "delta", table, streams, opening), asyncio.get_running_loop()
    context = tls(folder) if folder else None
    servers = [server.rpartition(":") for server in address.split(",")]
    made = [
        await loop.create_connection(lambda: Connection(crowd, tls=bool(folder)), host, int(port), ssl=context)
        for host, _, port in (servers[number % len(servers)] for number in range(connections))
    ]
    crowd.open([connection for _, connection in made])
    await crowd.all_served.wait()
    crowd.all_marked.set()
    print(json.dumps({"tries": crowd.tries}), flush=True)
    while text := await asyncio.to_thread(sys.stdin.readline):
        crowd.mark(late=text.strip() == LATE)
        spent = time.process_time()
        print(json.dumps({"marked": True}), flush=True)
        await crowd.all_marked.wait()
        cpu = time.process_time() - spent
        print(json.dumps({"first": crowd.first, "last": crowd.last, "cpu": cpu}), flush=True)
    for _, connection in made:
        connection.close()


if __name__ == "__main__":
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], int(sys.argv[6]), *sys.argv[7:])
    )
