"""Streams that outlive the controller: what they carry, kept up over its restarts, in one queue."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Self

from google.protobuf.message import Message

from controller.cli.failure import Exit, Failure
from controller.process.backoff import backoff

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
"""Seconds before an attempt to come back."""

Opened = Callable[[Message | None], Iterator[Message]]
"""Opens a stream after the last message that was read from it, None at first."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A stream broke, and is being taken up again."""

    why: str


class ReconnectingStreams:
    """The messages of one or several streams, as they come.

    A stream that cannot be opened the first time, or that the controller refuses, ends the feed with its `Failure`.
    One that has brought something and breaks is reported as `Disconnected` and taken up again, for ever.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Message | Disconnected | Failure] = SimpleQueue()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def add(self, opened: Opened) -> None:
        """Read a stream too."""
        threading.Thread(target=self._read, args=(opened,), daemon=True).start()

    def next(self, timeout: float | None = None) -> Message | Disconnected | None:
        """The next message; None if none comes within `timeout` seconds. Raises the `Failure` that ended a stream."""
        try:
            item = self._queue.get(block=timeout != 0, timeout=timeout)
        except Empty:
            return None
        if isinstance(item, Failure):
            raise item
        return item

    def _read(self, opened: Opened) -> None:
        last: Message | None = None
        pauses = backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._closed.is_set():
            why = "the controller ended the stream"
            try:
                for message in opened(last):
                    last, pauses = message, backoff(FIRST_PAUSE, LONGEST_PAUSE)
                    self._queue.put(message)
            except Failure as failure:
                if last is None or failure.status is not Exit.UNREACHABLE:
                    self._queue.put(failure)
                    return
                why = failure.message
            self._queue.put(Disconnected(why))
            self._closed.wait(next(pauses))
