"""What gRPC has to say is heard in the next turn of the event loop, however much it is."""

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from controller.process.event_loop import EventLoop, Ts

CALLS = 300


class WatchedLoop(EventLoop):
    """Remembers the sockets that are watched."""

    def __init__(self) -> None:
        self.watched: list[socket.socket] = []
        super().__init__()

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """One more."""
        if isinstance(fd, socket.socket):
            self.watched.append(fd)
        super().add_reader(fd, callback, *args)

    def unread(self) -> int:
        """Bytes that wait in the sockets."""
        unread = 0
        for each in self.watched:
            try:
                unread += len(each.recv(100_000, socket.MSG_PEEK))
            except BlockingIOError:
                continue
        return unread


async def many_calls(loop: WatchedLoop) -> int:
    """The wake-ups that are left over when many calls at once, answered while the loop was busy, have ended."""
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await channel.channel_ready()
            say = channel.unary_unary("/test.Echo/Say")
            calls = [asyncio.ensure_future(say(str(number).encode())) for number in range(CALLS)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(0.5)  # noqa: ASYNC251 - the loop is busy
            assert await asyncio.gather(*calls) == [str(number).encode() for number in range(CALLS)]
            return loop.unread()
    finally:
        server.stop(0)


def test_no_wake_up_of_grpc_is_left_over() -> None:
    """Each that was is a turn of the loop for nothing, and with 278 of them gRPC's thread waits for a turn each."""
    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WatchedLoop)
        assert runner.run(many_calls(loop)) < CALLS / 10


def test_other_readers_get_what_is_theirs() -> None:
    """Only gRPC's wake-ups are taken by the loop: what others are sent, they read whole."""

    async def read() -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.sendall(b"three words here")
            return await asyncio.get_running_loop().sock_recv(ours, 100)

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        assert runner.run(read()) == b"three words here"
