"""`events`: the ledger, read, followed, and its hash chain verified."""

import time
from collections.abc import Iterator

import click
from google.protobuf.message import Message

from controller.cli.admin_client import AdminClient
from controller.cli.disconnected import Disconnected
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.reconnecting_streams import ReconnectingStreams
from controller.cli.shell_completion import complete_services
from controller.cli.text.lines import event_line
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

PAGE = 1000
"""Lines in one request."""


@click.command()
@click.argument("service", default="", shell_complete=complete_services)
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only lines with a sequence number above this.")
@click.option("--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@click.option("--verify", is_flag=True, help="Verify that no line was changed, inserted or removed.")
@client_options
@click.pass_obj
def events(invocation: Invocation, service: str, after: int, follow: bool, verify: bool) -> None:
    """Show the ledger, oldest line first: of all services, or of one, also a deleted one."""
    if verify and (service or follow):
        raise click.UsageError("--verify checks the whole chain: it goes with neither a service nor --follow")
    with AdminClient(invocation.endpoint()) as client:
        if service:
            _check_service(client, service)
        if verify:
            _verify(invocation, client, after)
        elif follow:
            _stream_events(invocation, client, service, after)
        elif invocation.json:
            print_json({"events": [plain(event) for event in read_ledger(client, service, after)]})
        else:
            for event in read_ledger(client, service, after):
                click.echo(event_line(event, time.time()))


def read_ledger(client: AdminClient, service: str = "", after: int = 0) -> Iterator[pb.Event]:
    """Every line after that sequence number, page by page. Raises `Failure`."""
    while True:
        request = pb.ListEventsRequest(service=service, after=after, limit=PAGE)
        page = client.call("Ledger/ListEvents", request, pb.ListEventsResponse).events
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].sequence


def _check_service(client: AdminClient, service: str) -> None:
    """Raise `Failure` unless the service exists, or did: then the ledger has lines of its own."""
    try:
        client.call("Catalog/GetService", pb.GetServiceRequest(service=service), pb.Service)
    except Failure as failure:
        from controller.core.model.ledger_line import services_of  # pydantic, slow to load

        # Lines about all services, such as a freeze, are listed for any name: they prove nothing.
        own = failure.status is Exit.NOT_FOUND and any(
            service in services_of(event.service) for event in read_ledger(client, service)
        )
        if not own:
            raise


def _stream_events(invocation: Invocation, client: AdminClient, service: str, after: int) -> None:
    def open_stream(last: Message | None) -> Iterator[pb.Event]:
        last_sequence = last.sequence if isinstance(last, pb.Event) else after
        request = pb.WatchEventsRequest(service=service, after=last_sequence)
        return client.stream("Ledger/WatchEvents", request, pb.Event)

    with ReconnectingStreams() as streams:
        streams.add(open_stream)
        try:
            while True:
                _print(invocation, streams.next())
        except KeyboardInterrupt:
            return


def _print(invocation: Invocation, message: Message | Disconnected | None) -> None:
    if isinstance(message, Disconnected):
        click.echo(f"{message.why}; trying again", err=True)
    elif isinstance(message, pb.Event) and invocation.json:
        print_json(plain(message))
    elif isinstance(message, pb.Event):
        click.echo(event_line(message, time.time()))


def _verify(invocation: Invocation, client: AdminClient, after: int) -> None:
    from controller.cli.ledger_verification import TimeOrder, verify_events  # the core's ledger: only this needs it

    order = TimeOrder()
    chain = verify_events(order.watch(read_ledger(client, after=after)), whole=not after)
    facts = {"lines": chain.lines, "first": chain.first, "last": chain.last, "hash": chain.hash}
    if chain.broken is not None:
        hint = f"whole before it: {counted(chain.lines, 'line')}" if chain.lines else ""
        message = f"the ledger is broken at line {chain.broken}: {chain.why}"
        raise Failure(Exit.FAILED, message, code="BROKEN", facts={**facts, "broken": chain.broken}, hint=hint)
    if invocation.json:
        print_json({"valid": True, **facts, **({"time_goes_back": order.facts()} if order.lines else {})})
    elif chain.lines:
        lines = counted(chain.lines, "line")
        click.echo(f"the ledger is whole: {lines}, {chain.first} to {chain.last}, last hash {chain.hash}")
        if order.lines:
            which = f"{counted(order.lines, 'time')}, first at line {order.first}, by {order.seconds:.0f} s at most"
            click.echo(f"its time goes back {which}: a clock was set, or those of the controllers differ")
    else:
        click.echo("the ledger has no line" + (f" after {after}" if after else ""))
