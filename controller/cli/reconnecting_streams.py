"""Streams that outlive the controller: their messages in one queue, each stream reopened when it
breaks."""

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Self

from google.protobuf.message import Message

from controller.cli.disconnected import Disconnected
from controller.cli.failure import Exit, Failure
from controller.process.backoff import backoff

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
"""Seconds before an attempt to reconnect."""

Open = Callable[[Message | None], Iterator[Message]]
"""Opens a stream after the last message that was read from it, None at first."""


class ReconnectingStreams:
    """The messages of one or several streams, as they come.

    A stream that cannot be opened the first time, or that the controller refuses, ends them all
    with its `Failure`. One that has delivered a message and then breaks is reported as
    `Disconnected` and reopened, forever.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Message | Disconnected | Failure] = SimpleQueue()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def add(self, open_stream: Open) -> None:
        """Read another stream, in a thread of its own."""
        threading.Thread(target=self._read, args=(open_stream,), daemon=True).start()

    def next(self, timeout: float | None = None) -> Message | Disconnected | None:
        """The next message; None if none comes within `timeout` seconds.

        Raises the `Failure` that ended a stream.
        """
        try:
            item = self._queue.get(block=timeout != 0, timeout=timeout)
        except Empty:
            return None
        if isinstance(item, Failure):
            raise item
        return item

    def _read(self, open_stream: Open) -> None:
        last: Message | None = None
        pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._closed.is_set():
            why = "the controller ended the stream"
            try:
                for message in open_stream(last):
                    last, pauses = message, backoff(FIRST_PAUSE, LONGEST_PAUSE)
                    self._queue.put(message)
            except Failure as failure:
                if last is None or failure.status is not Exit.UNREACHABLE:
                    self._queue.put(failure)
                    return
                why = failure.message
            self._queue.put(Disconnected(why))
            self._closed.wait(next(pauses))
