"""Accepting connections, also while the process has no descriptor left for one.

asyncio's own loop (Python 3.11) logs a traceback for each of 100 attempts and starts as many timers, each of which does
the same a second later: 135 MB of log in a minute, and a core. This one makes room, and waits if it cannot.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

from controller.process.counted_warning import CountedWarning

BACKLOG = 1024
"""Connections that wait to be accepted."""
PAUSE = 0.05
"""Seconds until the next attempt when there is no descriptor and no room can be made."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of that host. Raises OSError if any of them cannot be listened at."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listeners.append(socket.create_server(address[:2], family=family, backlog=BACKLOG))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


@contextlib.contextmanager
def accepting(
    listener: socket.socket, on_connection: Callable[[socket.socket], None], make_room: Callable[[], bool]
) -> Iterator[None]:
    """Give each connection of that listening socket to `on_connection` until the end of the block; then close it.

    `make_room` closes connections when the process may open no further one; it returns False if there is none to close.
    """
    loop, exhausted = asyncio.get_running_loop(), CountedWarning("accept_failed")
    paused: asyncio.TimerHandle | None = None

    def start() -> None:
        loop.add_reader(listener, accept)

    def accept() -> None:
        # Called again in each turn of the event loop in which a connection waits.
        nonlocal paused
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                return  # the client has gone again
            exhausted.count(address=str(listener.getsockname()), reason=error.strerror)
            if not make_room():
                loop.remove_reader(listener)
                paused = loop.call_later(PAUSE, start)
        else:
            on_connection(connection)

    listener.setblocking(False)
    start()
    try:
        yield
    finally:
        loop.remove_reader(listener)
        if paused:
            paused.cancel()
        listener.close()
