"""The live screen's loop: what the controller sends -> `screen`, painted again and again until Ctrl-C."""

import time
from collections import deque
from collections.abc import Iterator

from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.live import Live

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.reconnecting_streams import Disconnected, ReconnectingStreams
from controller.cli.text.watch_screen import LEDGER_LINES, screen
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

REDRAW = 1.0
"""Seconds between two paintings at most: clocks on the screen must run."""
SILENCE = 3.0
"""Seconds without a word after which the controller is asked: is there no news, or does it hang?"""
PATIENCE = 2.0
"""Seconds that it has to answer then."""
REACH = 1000
"""How many lines back the ledger is read for the service's last ones."""


class LiveScreen:
    """What is known of one rollout, as far as the screen needs it."""

    def __init__(self, client: AdminClient, feed: ReconnectingStreams, service: str) -> None:
        self._client = client
        self._feed = feed
        self._service = service
        self._rollout: pb.Rollout | None = None
        self._events: deque[pb.Event] = deque(maxlen=LEDGER_LINES)
        self._notice = ""
        self._heard = time.monotonic()

    def paint(self, console: Console) -> None:
        """Paint until interrupted, and leave the last picture behind. Raises the `Failure` that ends the watch."""
        try:
            with Live(console=console, auto_refresh=False, screen=True) as live:
                while True:
                    self._wait()
                    if self._rollout:
                        live.update(self._picture(self._rollout), refresh=True)
        finally:
            if self._rollout:
                console.print(self._picture(self._rollout))

    def _picture(self, rollout: pb.Rollout) -> RenderableType:
        return screen(rollout, self._events, time.time(), self._notice)

    def _wait(self) -> None:
        """Take in whatever has come; at most one redraw long."""
        news = self._feed.next(REDRAW)
        while news is not None:
            self._take(news)
            news = self._feed.next(0)
        if time.monotonic() - self._heard > SILENCE:
            self._ask()

    def _take(self, news: Message | Disconnected) -> None:
        if isinstance(news, Disconnected):
            self._notice = f"{news.why}; trying again. Shown is what was last known."
        elif isinstance(news, pb.Event):
            self._events.append(news)
        elif isinstance(news, pb.Rollout):
            if self._rollout is None:
                self._follow_ledger(news.revision)
            self._rollout, self._notice = news, ""
            self._heard = time.monotonic()

    def _ask(self) -> None:
        """A stream can be dead without a word, as behind a tunnel that is gone; a question needs an answer."""
        request = pb.GetRolloutRequest(service=self._service)
        try:
            self._take(self._client.ask("Rollouts/GetRollout", request, pb.Rollout, PATIENCE))
        except Failure as failure:
            if failure.status is not Exit.UNREACHABLE:
                raise
            self._take(Disconnected(failure.message))
            self._heard = time.monotonic()

    def _follow_ledger(self, revision: int) -> None:
        start = max(0, revision - REACH)  # a line's sequence number is the revision that it made

        def opened(last: Message | None) -> Iterator[pb.Event]:
            after = last.sequence if isinstance(last, pb.Event) else start
            request = pb.WatchEventsRequest(service=self._service, after=after)
            return self._client.follow("Ledger/WatchEvents", request, pb.Event)

        self._feed.add(opened)
