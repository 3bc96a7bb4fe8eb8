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
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from controller.process.accept_loop import BACKLOG, listening_sockets
from controller.process.counted_warning import CountedWarning
from controller.process.door_connections import DoorConnections
from controller.process.header_blocks import HeaderBlocks
from controller.process.servers import Unstartable, address_taken

CHUNK = 64 * 1024
"""Bytes read at once."""
MAX_HEADER_BLOCK = 64 * 1024
"""Bytes of a client's header block, as it comes: eight times what the admin API takes."""


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


class Front:
    """Passes connections on to a gRPC server that listens at `inner`. An asynchronous context manager: it stays open
    while the server drains, after it has stopped to accept."""

    def __init__(self, accepted: DoorConnections) -> None:
        self._accepted = accepted
        self._folder = Path(tempfile.mkdtemp(prefix="haldane-"))  # for this user alone
        self._connections: dict[str, _Connection] = {}
        self._made = 0
        self._lost = CountedWarning("connection_lost")

    @property
    def inner(self) -> str:
        """Where the gRPC server listens."""
        return f"unix:{self._folder}/grpc"

    def peer_of(self, name: str) -> Peer:
        """Who is behind a call whose peer the gRPC server names so."""
        connection = self._connections.get(name.removeprefix("unix:"))
        return connection.peer if connection else Peer("unknown")

    @contextlib.asynccontextmanager
    async def listening(self, address: str, setting: str) -> AsyncIterator[None]:
        """Accept connections at HOST:PORT until the end of the block. Raises `Unstartable`."""
        host, _, port = address.rpartition(":")
        try:
            listeners = await listening_sockets(host.strip("[]"), int(port))
        except OSError as error:
            raise Unstartable(address_taken(setting, address, error)) from error
        with contextlib.ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(self.listening_at(listener))
            yield

    @contextlib.contextmanager
    def listening_at(self, listener: socket.socket) -> Iterator[None]:
        """Accept connections at a listening socket too, until the end of the block."""
        with self._accepted.accepting(listener, self._protocol):
            yield

    def _protocol(self) -> asyncio.Protocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._accept)

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._accepted.sweep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection, and remove what is on the disk."""
        tasks = [self._sweeping, *(connection.task for connection in self._connections.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._accepted.abort()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of_transport(writer.transport)
        self._made += 1
        name = f"{self._folder}/{self._made}"
        task = asyncio.current_task()
        assert task is not None  # this is a coroutine of one
        self._connections[name] = _Connection(peer, task)
        try:
            first = await reader.read(CHUNK)  # a client speaks first, and one that does not costs little
            if not first:
                return
            blocks = HeaderBlocks(MAX_HEADER_BLOCK)

            def on_data(data: bytes) -> None:
                self._accepted.on_data(writer.transport)
                if not blocks.feed(data):
                    raise ConnectionAbortedError(f"a header block has more than {MAX_HEADER_BLOCK} bytes")

            on_data(first)
            async with _connected(name, f"{self._folder}/grpc") as (inner_reader, inner_writer):
                inner_writer.write(first)
                await _until_one_ends(
                    _pass_on(reader, inner_writer, on_data),
                    _pass_on(inner_reader, writer, lambda _data: None),
                )
        except OSError as error:
            self._lost.count(peer=peer.host, error=str(error))
        except asyncio.CancelledError:
            pass  # by `__aexit__`; asyncio of Python 3.11 logs a traceback for each such task that is cancelled
        finally:
            del self._connections[name]
            writer.close()


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
    address = transport.get_extra_info("peername")  # None if it was closed before it was accepted
    return Peer(str(address[0]) if address else "gone", certificate)


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


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_data: Callable[[bytes], None]
) -> None:
    """Write what is read, until the end, or an OSError of `on_data`."""
    while data := await reader.read(CHUNK):
        on_data(data)
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
