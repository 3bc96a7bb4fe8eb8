"""The live screen of `watch` for one rollout: painted again as messages come, until Ctrl-C."""

import time
from collections import deque
from collections.abc import Iterator

from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.live import Live

from controller.cli.admin_client import AdminClient
from controller.cli.disconnected import Disconnected
from controller.cli.failure import Exit, Failure
from controller.cli.reconnecting_streams import ReconnectingStreams
from controller.cli.text.watch_screen import WatchScreen
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

REDRAW = 1.0
"""Seconds between two paintings at most, since the screen shows the time."""
SILENCE = 3.0
"""Seconds without a message after which the controller is probed: it may hang."""
PROBE_DEADLINE = 2.0
"""Seconds for its response."""
LOOKBACK = 1000
"""How many lines back the ledger is read for the newest ones of the service."""
MOST_EVENTS = 100
"""Ledger lines that are kept: more than any terminal has."""


class LiveScreen:
    """What is known of one rollout, as far as the screen needs it."""

    def __init__(self, client: AdminClient, streams: ReconnectingStreams, service: str) -> None:
        self._client = client
        self._streams = streams
        self._service = service
        self._rollout: pb.Rollout | None = None
        self._events: deque[pb.Event] = deque(maxlen=MOST_EVENTS)
        self._notice = ""
        self._last_message_at = time.monotonic()

    def paint(self, console: Console) -> None:
        """Paint until interrupted, and leave the last screen behind.

        Raises the `Failure` that ends the watch.
        """
        try:
            with Live(console=console, auto_refresh=False, screen=True) as live:
                while True:
                    self._receive()
                    if self._rollout:
                        live.update(self._screen(self._rollout), refresh=True)
        finally:
            if self._rollout:
                console.print(self._screen(self._rollout))

    def _screen(self, rollout: pb.Rollout) -> RenderableType:
        return WatchScreen(rollout, list(self._events), time.time(), self._notice)

    def _receive(self) -> None:
        """Apply the messages that have come, or wait for one until the next redraw is due."""
        message = self._streams.next(REDRAW)
        while message is not None:
            self._apply(message)
            message = self._streams.next(0)
        if time.monotonic() - self._last_message_at > SILENCE:
            self._probe()

    def _apply(self, message: Message | Disconnected) -> None:
        if isinstance(message, Disconnected):
            self._notice = f"{message.why}; trying again. Shown is the last known state."
        elif isinstance(message, pb.Event):
            self._events.append(message)
        elif isinstance(message, pb.Rollout):
            if self._rollout is None:
                self._watch_ledger(message.revision)
            self._rollout, self._notice = message, ""
            self._last_message_at = time.monotonic()

    def _probe(self) -> None:
        """Ask for the rollout: a stream can be dead without an error, as behind a tunnel that is
        gone."""
        request = pb.GetRolloutRequest(service=self._service)
        try:
            self._apply(self._client.call("Rollouts/GetRollout", request, pb.Rollout, PROBE_DEADLINE))
        except Failure as failure:
            if failure.status is not Exit.UNREACHABLE:
                raise
            self._apply(Disconnected(failure.message))
            self._last_message_at = time.monotonic()

    def _watch_ledger(self, revision: int) -> None:
        start = max(0, revision - LOOKBACK)  # a line's sequence number is the revision that it made

        def open_stream(last: Message | None) -> Iterator[pb.Event]:
            after = last.sequence if isinstance(last, pb.Event) else start
            request = pb.WatchEventsRequest(service=self._service, after=after)
            return self._client.stream("Ledger/WatchEvents", request, pb.Event)

        self._streams.add(open_stream)
