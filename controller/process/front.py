"""The front of a gRPC server: it accepts the server's connections and knows who is at their other end.

gRPC for Python cannot ask a client for a certificate that it need not have, does not tell the user at the other end of
a UNIX socket, and bounds no connections. So the front does: it accepts, by TLS or not, and passes the bytes on to the
server over a private socket. It binds its own end of each such connection to a name of its own, which the server
reports as the peer of a call.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import struct
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog

from controller.process.servers import Unstartable, address_taken

CONNECTIONS = 512
"""Connections at once. Beyond it the one that has been silent for longest is closed, so that whoever comes gets in."""
OF_ONE_HOST = 256
"""Of them, those of one other host."""
HANDSHAKE = 10.0
"""Seconds for a TLS handshake."""
CHUNK = 64 * 1024
"""Bytes read at once."""
BACKLOG = 1024
"""Connections that wait to be accepted."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection."""

    host: str
    """Its address, or `unix`."""
    certificate: bytes | None = None
    """Its certificate (DER), verified."""
    user_id: int | None = None
    """The user of a UNIX socket, where the platform tells."""


@dataclass(slots=True, eq=False)
class _Connection:
    peer: Peer
    task: "asyncio.Task[None]"
    last: float = field(default_factory=time.monotonic)
    """When a byte last came, on the monotonic clock."""


class Front:
    """Passes connections on to a gRPC server that listens at `inner`. An asynchronous context manager: it stays open
    while the server drains, after it has stopped to accept."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="haldane-"))  # for this user alone
        self._connections: dict[str, _Connection] = {}
        self._made = 0

    @property
    def inner(self) -> str:
        """Where the gRPC server listens."""
        return f"unix:{self._folder}/grpc"

    def peer_of(self, name: str) -> Peer:
        """Who is behind a call whose peer the gRPC server names so."""
        connection = self._connections.get(name.removeprefix("unix:"))
        return connection.peer if connection else Peer("unknown")

    @contextlib.asynccontextmanager
    async def listening(self, address: str, setting: str, context: ssl.SSLContext | None) -> AsyncIterator[None]:
        """Accept connections at HOST:PORT until the end of the block. Raises `Unstartable`."""
        host, _, port = address.rpartition(":")
        handshake = HANDSHAKE if context else None
        try:
            server = await asyncio.start_server(
                self._accept,
                host.strip("[]"),
                int(port),
                ssl=context,
                ssl_handshake_timeout=handshake,
                backlog=BACKLOG,
                reuse_port=False,
            )
        except OSError as error:
            raise Unstartable(address_taken(setting, address, error)) from error
        with contextlib.closing(server):
            yield

    @contextlib.asynccontextmanager
    async def listening_at(self, listener: socket.socket) -> AsyncIterator[None]:
        """Accept connections at a listening socket too, until the end of the block."""
        server = await asyncio.start_unix_server(self._accept, sock=listener, backlog=BACKLOG)
        with contextlib.closing(server):
            yield

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection, and remove what is on the disk."""
        tasks = [connection.task for connection in self._connections.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of_transport(writer.transport)
        self._make_room(peer.host)
        self._made += 1
        name = f"{self._folder}/{self._made}"
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine of one
        connection = self._connections[name] = _Connection(peer, task)
        try:
            async with _connected(name, f"{self._folder}/grpc") as (inner_reader, inner_writer):
                await _until_one_ends(
                    _pass_on(reader, inner_writer, connection), _pass_on(inner_reader, writer, connection)
                )
        except OSError as error:
            log.info("connection_lost", peer=peer.host, error=str(error))
        finally:
            del self._connections[name]
            writer.close()

    def _make_room(self, host: str) -> None:
        """Close the connection that has been silent for longest, if there are too many, in all or of this host."""
        local = host in ("unix", "127.0.0.1", "::1")
        counts = Counter(connection.peer.host for connection in self._connections.values())
        if not local and counts[host] >= OF_ONE_HOST:
            candidates = [each for each in self._connections.values() if each.peer.host == host]
        elif len(self._connections) >= CONNECTIONS:
            candidates = list(self._connections.values())
        else:
            return
        oldest = min(candidates, key=lambda connection: connection.last)
        oldest.last = float("inf")  # it is chosen once
        oldest.task.cancel()


@contextlib.contextmanager
def unix_socket(path: Path, group: int | None = None) -> Iterator[socket.socket]:
    """A listening UNIX socket that only this user, and that group, may connect to, until the end of the block.

    One that a controller left behind is replaced; one that somebody listens at is not. Raises `Unstartable`.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_socket() and not _is_listened_at(path):
            path.unlink()
        mask = os.umask(0o177)  # from its first moment on nobody else may connect
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unstartable(f"cannot listen at the socket {path}: {error.strerror or error}") from error
    try:
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _is_listened_at(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def peer_of_transport(transport: asyncio.BaseTransport) -> Peer:
    """Who is at the other end of a connection."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls else None
    connection = transport.get_extra_info("socket")
    if connection.family == socket.AF_UNIX:
        return Peer("unix", certificate, _user_of(connection))
    return Peer(str(connection.getpeername()[0]), certificate)


def _user_of(connection: socket.socket) -> int | None:
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = struct.Struct("3i")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size)
    _process, user, _group = credentials.unpack(data)
    return int(user)


@contextlib.asynccontextmanager
async def _connected(name: str, path: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the UNIX socket at `path`, whose own end has that name."""
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        own.setblocking(False)
        own.bind(name)
        await asyncio.get_running_loop().sock_connect(own, path)
        reader, writer = await asyncio.open_unix_connection(sock=own)
    except BaseException:
        own.close()
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection) -> None:
    """Write what is read, until the end."""
    while data := await reader.read(CHUNK):
        connection.last = time.monotonic()
        writer.write(data)
        await writer.drain()


async def _until_one_ends(*both: Coroutine[Any, Any, None]) -> None:
    """Run both until one has ended. OSError if it has failed."""
    tasks = [asyncio.ensure_future(each) for each in both]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
