"""`events`: the ledger, read, followed, and its chain checked."""

import time
from collections.abc import Iterator

import click
from google.protobuf.message import Message

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.reconnecting_streams import Disconnected, ReconnectingStreams
from controller.cli.text.lines import event_line
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

PAGE = 1000
"""Lines asked for at once."""


@click.command()
@click.argument("service", default="")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only lines with a sequence number above this.")
@click.option("--follow", is_flag=True, help="Go on with each new line, until Ctrl-C.")
@click.option("--verify", is_flag=True, help="Check that no line was changed, added or taken away.")
@client_options
@click.pass_obj
def events(call: Invocation, service: str, after: int, follow: bool, verify: bool) -> None:
    """Show the ledger, oldest line first: of all services, or of one."""
    if verify and (service or follow):
        raise click.UsageError("--verify checks the whole chain: it goes with neither a service nor --follow")
    with AdminClient(call.admin) as client:
        if verify:
            _verify(call, client, after)
        elif follow:
            _follow(call, client, service, after)
        elif call.json:
            print_json({"events": [plain(event) for event in read_ledger(client, service, after)]})
        else:
            for event in read_ledger(client, service, after):
                click.echo(event_line(event, time.time()))


def read_ledger(client: AdminClient, service: str = "", after: int = 0) -> Iterator[pb.Event]:
    """Every line after that sequence number, page by page."""
    while True:
        request = pb.ListEventsRequest(service=service, after=after, limit=PAGE)
        page = client.ask("Ledger/ListEvents", request, pb.ListEventsResponse).events
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].sequence


def _follow(call: Invocation, client: AdminClient, service: str, after: int) -> None:
    def opened(last: Message | None) -> Iterator[pb.Event]:
        seen = last.sequence if isinstance(last, pb.Event) else after
        request = pb.WatchEventsRequest(service=service, after=seen)
        return client.follow("Ledger/WatchEvents", request, pb.Event)

    with ReconnectingStreams() as feed:
        feed.add(opened)
        try:
            while True:
                _print(call, feed.next())
        except KeyboardInterrupt:
            return


def _print(call: Invocation, news: Message | Disconnected | None) -> None:
    if isinstance(news, Disconnected):
        click.echo(f"{news.why}; trying again", err=True)
    elif isinstance(news, pb.Event) and call.json:
        print_json(plain(news))
    elif isinstance(news, pb.Event):
        click.echo(event_line(news, time.time()))


def _verify(call: Invocation, client: AdminClient, after: int) -> None:
    from controller.cli.ledger_verification import check  # the core's ledger, which nothing else here needs

    chain = check(read_ledger(client, after=after), whole=not after)
    facts = {"lines": chain.lines, "first": chain.first, "last": chain.last, "hash": chain.hash}
    if chain.broken is not None:
        hint = f"whole before it: {counted(chain.lines, 'line')}" if chain.lines else ""
        message = f"the ledger is broken at line {chain.broken}: {chain.why}"
        raise Failure(Exit.FAILED, message, code="BROKEN", facts={**facts, "broken": chain.broken}, hint=hint)
    if call.json:
        print_json({"valid": True, **facts})
    elif chain.lines:
        lines = counted(chain.lines, "line")
        click.echo(f"the ledger is whole: {lines}, {chain.first} to {chain.last}, last hash {chain.hash}")
    else:
        click.echo("the ledger has no line" + (f" after {after}" if after else ""))
