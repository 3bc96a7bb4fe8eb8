"""`controllers`: those that share the store, and which of them decides."""

import time

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json, print_table
from controller.cli.text.values import NONE, format_span
from controller.core.base.text import clean
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

NOTES = {
    "waits": "{name} stores nothing until those of a schema older than its own ({records}) have ended",
    "too_old": "{name} stores nothing, and shows what it has read last: records are newer than it reads ({records}). "
    "Upgrade it",
}
"""What is said of a controller that stores nothing, by why it does not."""


@click.command()
@client_options
@click.pass_obj
def controllers(invocation: Invocation) -> None:
    """List the controllers that share the store, which of them decides, and how far each is.

    SINCE is the time for which the one has decided, or for which another one has run. A controller that
    has died is shown until its record runs out.
    """
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("Controllers/ListControllers", pb.ListControllersRequest(), pb.ListControllersResponse)
    if invocation.json:
        print_json(plain(response)["controllers"])
        return
    newest = max((each.revision for each in response.controllers), default=0)
    header = ["NAME", "ROLE", "SINCE", "TERM", "REVISION", "PROXIES", "VERSION", "XDS", "ADMIN"]
    print_table(header, [_row(each, newest, time.time()) for each in response.controllers])
    for each in response.controllers:
        if note := NOTES.get(each.writes):
            click.echo(clean(note.format(name=each.name, records=each.records)))
    if response.store_problem:
        click.echo(clean(f"as known last: {response.store_problem}"))
    elif not any(each.leader for each in response.controllers):
        click.echo("none of them decides now: proxies are served, and no weight moves until one does")


def _row(each: pb.Controller, newest: int, now: float) -> list[str]:
    behind = f" ({newest - each.revision} behind)" if each.revision < newest else ""
    role, term = ("leader", str(each.term)) if each.leader else ("follower", NONE)
    shown = [each.name, role, format_span(now - each.since), term, f"{each.revision}{behind}"]
    return [*shown, str(each.proxies), each.version, each.xds, each.admin]
