"""`wait`: until a rollout has reached a phase; for scripts and CI."""

import sys
import time
from dataclasses import dataclass

import click

from controller.cli.admin_client import AdminClient
from controller.cli.disconnected import Disconnected
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.reconnecting_streams import ReconnectingStreams
from controller.cli.rollout_printer import RolloutPrinter
from controller.cli.shell_completion import service_argument
from controller.cli.text.lines import rollout_line
from controller.cli.text.values import format_proxies
from controller.core.base.text import clean
from controller.core.base.units import format_duration, parse_duration
from controller.core.model.rollout import RUNNING, Phase
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

_PATHS = (
    (Phase.WARMING, Phase.PROGRESSING, Phase.PROMOTING, Phase.BAKING, Phase.PROMOTED),
    (Phase.ROLLING_BACK, Phase.ROLLED_BACK),
)
"""The paths of a rollout through its phases: a later phase of a path implies the earlier ones."""


def read_phase(_ctx: click.Context, _param: click.Parameter, value: str) -> Phase:
    """A phase as people write it: `promoted`, `rolled-back`, `AWAITING_APPROVAL`.

    Raises `click.BadParameter`.
    """
    try:
        return Phase(value.upper().replace("-", "_"))
    except ValueError:
        known = ", ".join(phase.lower().replace("_", "-") for phase in Phase)
        raise click.BadParameter(f"{value!r} is no phase; there are {known}") from None


def read_timeout(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Seconds. Raises `click.BadParameter`."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@service_argument
@click.option(
    "--for",
    "phase",
    required=True,
    metavar="promoted|rolled-back|PHASE",
    callback=read_phase,
    shell_complete=lambda _ctx, _param, incomplete: [
        word for phase in Phase if (word := phase.lower().replace("_", "-")).startswith(incomplete)
    ],
    help="The phase to wait for.",
)
@click.option(
    "--timeout", metavar="DURATION", callback=read_timeout, help="Give up after this time, such as 10m. Default: never."
)
@client_options
@click.pass_obj
def wait(invocation: Invocation, service: str, phase: Phase, timeout: float | None) -> None:
    """Wait until the rollout of SERVICE is promoted, rolled back or in another phase.

    Exit code 7 if it ends otherwise, if none is running, or at the timeout. The wait survives
    restarts of the controller. On a terminal, progress goes to standard error.
    """
    with AdminClient(invocation.endpoint()) as client, ReconnectingStreams() as streams:
        request = pb.WatchRolloutRequest(service=service)
        streams.add(lambda _last: client.stream("Rollouts/WatchRollout", request, pb.Rollout))
        rollout = _Wait(phase, timeout).until_reached(streams)
    if invocation.json:
        print_json(plain(rollout))
    else:
        click.echo(rollout_line(rollout))


@dataclass
class _Wait:
    """One wait: for `phase`, at most `timeout` seconds."""

    phase: Phase
    timeout: float | None
    rollout: pb.Rollout | None = None

    def until_reached(self, streams: ReconnectingStreams) -> pb.Rollout:
        """The rollout once it has reached the phase.

        Raises `Failure` if it ends otherwise, or at the timeout.
        """
        end = None if self.timeout is None else time.monotonic() + self.timeout
        progress = RolloutPrinter(to_stderr=True) if sys.stderr.isatty() else None
        while True:
            left = None if end is None else end - time.monotonic()
            message = streams.next(left) if left is None or left > 0 else None
            if message is None:
                raise self._timed_out()
            if not isinstance(message, pb.Rollout | Disconnected):
                continue
            if isinstance(message, pb.Rollout) and self._is_reached(message):
                return message
            if progress:
                progress.print(message)
            elif isinstance(message, pb.Rollout) and not self.rollout and not message.proxies_total:
                click.echo(f"note: {format_proxies(0, 0)}: {clean(message.service)} cannot progress", err=True)
            self.rollout = message if isinstance(message, pb.Rollout) else self.rollout

    def _is_reached(self, rollout: pb.Rollout) -> bool:
        """Whether it has reached the phase. Raises `Failure` if it has ended otherwise."""
        now = Phase(rollout.phase)
        running = now in RUNNING
        if now is self.phase or (_passed(now, self.phase) and (running or self.rollout)):
            return True
        if not running:
            why = f": {clean(rollout.phase_reason)}" if rollout.phase_reason else ""
            message = f"{rollout.service} is {rollout.phase}, not {self.phase}{why}"
            raise _not_reached(message, "ENDED_OTHERWISE", rollout)
        return False

    def _timed_out(self) -> Failure:
        state = "has not been seen"
        if self.rollout:
            state = f"is {self.rollout.phase}"
            state += "" if self.rollout.proxies_total else f", and {format_proxies(0, 0)}"
        message = f"not {self.phase} within {format_duration(self.timeout or 0)}: it {state}"
        return _not_reached(message, "TIMEOUT", self.rollout)


def _passed(now: Phase, wanted: Phase) -> bool:
    return any(wanted in path and now in path[path.index(wanted) :] for path in _PATHS)


def _not_reached(message: str, code: str, rollout: pb.Rollout | None) -> Failure:
    facts = {"rollout": plain(rollout)} if rollout else {}
    return Failure(Exit.NOT_REACHED, message, code=code, facts=facts)
