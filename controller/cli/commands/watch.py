"""`watch`: a rollout, live."""

import os
import signal
import sys
import time
from dataclasses import dataclass

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.reconnecting_streams import Disconnected, ReconnectingStreams
from controller.cli.text.lines import clock, conditions, rollout_line
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

QUIET = 10.0
"""Seconds between two lines that differ only in what changes at every look."""


@click.command()
@click.argument("service")
@client_options
@click.pass_obj
def watch(call: Invocation, service: str) -> None:
    """Watch a rollout: a live screen on a terminal, lines otherwise. Ctrl-C ends it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the terminal is put right then, too
    with AdminClient(call.admin) as client, ReconnectingStreams() as feed:
        request = pb.WatchRolloutRequest(service=service)
        feed.add(lambda _last: client.follow("Rollouts/WatchRollout", request, pb.Rollout))
        try:
            if call.json or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
                _print_lines(feed, Lines(call.json))
            else:
                _paint(client, feed, service)
        except KeyboardInterrupt:
            return


def _print_lines(feed: ReconnectingStreams, lines: "Lines") -> None:
    while True:
        news = feed.next()
        if isinstance(news, pb.Rollout | Disconnected):
            lines.show(news)


def _paint(client: AdminClient, feed: ReconnectingStreams, service: str) -> None:
    from rich.console import Console  # rich is for this screen alone

    from controller.cli.live_screen import LiveScreen

    LiveScreen(client, feed, service).paint(Console())


@dataclass
class Lines:
    """A rollout as lines: as JSON every message, as text what is new."""

    json: bool
    lost: bool = False
    told: tuple[object, ...] = ()
    told_at: float = float("-inf")

    def show(self, news: pb.Rollout | Disconnected) -> None:
        """Print what is worth a line."""
        if isinstance(news, Disconnected):
            if not self.lost:
                click.echo(f"{news.why}; trying again", err=True)
            self.lost = True
            return
        if self.lost:
            click.echo("the controller is back", err=True)
        self.lost = False
        if self.json:
            print_json(plain(news))
        elif self._worth_telling(news):
            click.echo(f"{clock(time.time(), time.time())} {rollout_line(news)}")

    def _worth_telling(self, rollout: pb.Rollout) -> bool:
        facts = (
            rollout.phase,
            rollout.step,
            sorted(rollout.weights.items()),
            rollout.verdict,
            [condition.code for condition in conditions(rollout)],
            (rollout.proxies_synced, rollout.proxies_total),
            [freeze.scope for freeze in rollout.freezes],
            rollout.diverted,
        )
        if facts == self.told and time.monotonic() - self.told_at < QUIET:
            return False
        self.told, self.told_at = facts, time.monotonic()
        return True
