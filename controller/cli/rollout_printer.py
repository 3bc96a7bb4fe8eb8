"""A rollout printed as it changes: as JSON every message, as text a line for each change worth
one."""

import time
from dataclasses import dataclass

import click

from controller.cli.disconnected import Disconnected
from controller.cli.output import plain, print_json
from controller.cli.text.lines import conditions, rollout_line
from controller.cli.text.values import format_time
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

REPEAT_AFTER = 10.0
"""Seconds after which a rollout is printed again though only its figures have changed."""


@dataclass
class RolloutPrinter:
    """Prints to standard output, or to standard error with `to_stderr`."""

    json: bool = False
    to_stderr: bool = False
    repeat_after: float = REPEAT_AFTER
    _disconnected: bool = False
    _printed: tuple[object, ...] = ()
    _printed_at: float = float("-inf")

    def print(self, message: pb.Rollout | Disconnected) -> None:
        """Print the message if it is worth a line."""
        if isinstance(message, Disconnected):
            if not self._disconnected:
                click.echo(f"{message.why}; trying again", err=True)
            self._disconnected = True
            return
        if self._disconnected:
            click.echo("the controller is back", err=True)
        self._disconnected = False
        if self.json:
            print_json(plain(message))
        elif self.is_due(message):
            click.echo(f"{format_time(time.time(), time.time())} {rollout_line(message)}", err=self.to_stderr)

    def is_due(self, rollout: pb.Rollout) -> bool:
        """Whether the rollout differs in more than its figures from the one before, or that one is
        long ago."""
        facts = (
            rollout.phase,
            rollout.canary,
            rollout.step,
            sorted(rollout.weights.items()),
            rollout.verdict,
            [condition.code for condition in conditions(rollout)],
            (rollout.proxies_synced, rollout.proxies_total),
            [freeze.scope for freeze in rollout.freezes],
            rollout.diverted,
        )
        if facts == self._printed and time.monotonic() - self._printed_at < self.repeat_after:
            return False
        self._printed, self._printed_at = facts, time.monotonic()
        return True
