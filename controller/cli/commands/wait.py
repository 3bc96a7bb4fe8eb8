"""`wait`: until a rollout is where it should be; for scripts and CI."""

import time

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.reconnecting_streams import ReconnectingStreams
from controller.cli.text.lines import clean, rollout_line
from controller.core.base.units import format_duration, parse_duration
from controller.core.model.rollout import RUNNING, Phase
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

_PATHS = (
    (Phase.WARMING, Phase.PROGRESSING, Phase.PROMOTING, Phase.BAKING, Phase.PROMOTED),
    (Phase.ROLLING_BACK, Phase.ROLLED_BACK),
)
"""The ways that a rollout goes. Who is later on the same way has come past what is earlier."""


def read_phase(_ctx: click.Context, _param: click.Parameter, value: str) -> Phase:
    """A phase as people write it: `promoted`, `rolled-back`, `AWAITING_APPROVAL`."""
    try:
        return Phase(value.upper().replace("-", "_"))
    except ValueError:
        known = ", ".join(phase.lower().replace("_", "-") for phase in Phase)
        raise click.BadParameter(f"{value!r} is no phase; there are {known}") from None


def read_timeout(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Seconds."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("service")
@click.option(
    "--for", "phase", required=True, metavar="promoted|rolled-back|PHASE", callback=read_phase, help="What to wait for."
)
@click.option(
    "--timeout", metavar="DURATION", callback=read_timeout, help="At most so long, such as 10m. Default: ever."
)
@client_options
@click.pass_obj
def wait(call: Invocation, service: str, phase: Phase, timeout: float | None) -> None:
    """Wait until the rollout of SERVICE is promoted, rolled back or in some phase.

    Exit code 7 if it ends otherwise, if none is running, or at the timeout. Restarts of the controller are waited out.
    """
    end = None if timeout is None else time.monotonic() + timeout
    with AdminClient(call.admin) as client, ReconnectingStreams() as feed:
        request = pb.WatchRolloutRequest(service=service)
        feed.add(lambda _last: client.follow("Rollouts/WatchRollout", request, pb.Rollout))
        rollout = _until(feed, phase, end, timeout)
    if call.json:
        print_json(plain(rollout))
    else:
        click.echo(rollout_line(rollout))


def _until(feed: ReconnectingStreams, phase: Phase, end: float | None, timeout: float | None) -> pb.Rollout:
    """The rollout once it is there; `Failure` if it ends otherwise or `end` comes first."""
    rollout: pb.Rollout | None = None
    while True:
        left = None if end is None else end - time.monotonic()
        news = feed.next(left) if left is None or left > 0 else None
        if news is None:
            stands = f"is {rollout.phase}" if rollout else "has not been seen"
            raise _not_reached(f"not {phase} within {format_duration(timeout or 0)}: it {stands}", "TIMEOUT", rollout)
        if not isinstance(news, pb.Rollout):
            continue
        now = Phase(news.phase)
        under_way = now in RUNNING
        if now is phase or (_passed(now, phase) and (under_way or rollout)):
            return news
        if not under_way:
            why = f": {clean(news.phase_reason)}" if news.phase_reason else ""
            raise _not_reached(f"{news.service} is {news.phase}, not {phase}{why}", "ENDED_OTHERWISE", news)
        rollout = news


def _passed(now: Phase, wanted: Phase) -> bool:
    return any(wanted in path and now in path[path.index(wanted) :] for path in _PATHS)


def _not_reached(message: str, code: str, rollout: pb.Rollout | None) -> Failure:
    facts = {"rollout": plain(rollout)} if rollout else {}
    return Failure(Exit.NOT_REACHED, message, code=code, facts=facts)
