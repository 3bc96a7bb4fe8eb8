"""asyncio's event loop, mended for gRPC: what gRPC has to say is heard at once, and not one event in each turn."""

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import Any, TypeVarTuple

Ts = TypeVarTuple("Ts")

AT_ONCE = 65_536
"""Wake-ups that are taken in one turn: more than a socket holds."""


class EventLoop(asyncio.SelectorEventLoop):
    """A loop for `grpc.aio` with thousands of streams.

    gRPC's own thread writes a byte into a socket for each event, and its callback reads one byte in each turn, though
    it handles all events that are there. So bytes are left over, until the socket is full: then the thread waits in
    its write, and each turn of the loop gets one event. Here the other bytes are read before the callback is called.
    """

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Watch a file descriptor, as asyncio does."""
        if isinstance(fd, socket.socket) and _is_of_grpc(callback):
            super().add_reader(fd, _handle_events, fd, functools.partial(callback, *args))
        else:
            super().add_reader(fd, callback, *args)


def _is_of_grpc(callback: Callable[..., Any]) -> bool:
    bound = callback.func if isinstance(callback, functools.partial) else callback
    return type(getattr(bound, "__self__", None)).__name__ == "PollerCompletionQueue"


def _handle_events(wake_ups: socket.socket, callback: Callable[[], Any]) -> None:
    """Read all but one byte, and leave that to gRPC's callback: it handles every event of which a byte was read."""
    if others := len(wake_ups.recv(AT_ONCE, socket.MSG_PEEK)) - 1:
        wake_ups.recv(others)
    callback()
