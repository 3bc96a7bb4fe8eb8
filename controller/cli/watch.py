"""`watch`: a rollout, live."""

import sys
import time
from dataclasses import dataclass, field

import click

from controller.cli.client import Client
from controller.cli.feed import Feed, Lost
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.words import clock, rollout_line
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

QUIET = 10.0
"""Seconds between two lines that differ only in what changes at every look."""


@click.command()
@click.argument("service")
@client_options
@click.pass_obj
def watch(call: Invocation, service: str) -> None:
    """Watch a rollout: a live screen on a terminal, lines otherwise. Ctrl-C ends it."""
    with Client(call.admin) as client, Feed() as feed:
        request = pb.WatchRolloutRequest(service=service)
        feed.add(lambda _last: client.follow("Rollouts/WatchRollout", request, pb.Rollout))
        lines = Lines(call.json)
        try:
            while True:
                news = feed.next()
                if isinstance(news, pb.Rollout | Lost):
                    lines.show(news)
        except KeyboardInterrupt:
            return


@dataclass
class Lines:
    """A rollout as lines: as JSON every message, as text what is new."""

    json: bool
    lost: bool = False
    told: tuple[object, ...] = ()
    told_at: float = field(default=float("-inf"))

    def show(self, news: pb.Rollout | Lost) -> None:
        """Print what is worth a line."""
        if isinstance(news, Lost):
            if not self.lost:
                click.echo(f"{news.why}; trying again", err=True)
            self.lost = True
            return
        if self.lost:
            click.echo("back", err=True)
        self.lost = False
        if self.json:
            print_json(plain(news))
        elif self._worth_telling(news):
            click.echo(f"{clock(time.time(), time.time())} {rollout_line(news)}")
        sys.stdout.flush()

    def _worth_telling(self, rollout: pb.Rollout) -> bool:
        facts = (
            rollout.phase,
            rollout.step,
            sorted(rollout.weights.items()),
            rollout.verdict,
            (rollout.proxies_synced, rollout.proxies_total),
            [freeze.scope for freeze in rollout.freezes],
        )
        if facts == self.told and time.monotonic() - self.told_at < QUIET:
            return False
        self.told, self.told_at = facts, time.monotonic()
        return True
