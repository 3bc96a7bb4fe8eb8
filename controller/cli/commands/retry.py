"""`retry`: send proxies again what they NACKed."""

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.shell_completion import complete_services
from controller.core.base.text import clean
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command()
@click.argument("service", default="", metavar="[SERVICE]", shell_complete=complete_services)
@client_options
@click.pass_obj
def retry(invocation: Invocation, service: str) -> None:
    """Send proxies once more what they NACKed of a service, or of every service, also those of other controllers.

    What a proxy NACKed is otherwise sent again only once it changes. A listener whose port was taken
    is tried again by itself.
    """
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("Fleet/Retry", pb.RetryRequest(service=service), pb.RetryResponse)
    if response.unreached and invocation.json:
        raise _not_reached(response, service)
    if invocation.json:
        print_json(plain(response))
    elif response.nodes:
        click.echo(clean(f"sent again to {', '.join(response.nodes)}; `haldane proxies` shows whether they ACK it"))
    else:
        whose = " of the controllers that were reached" if response.unreached else ""
        click.echo(f"no proxy{whose} has NACKed anything" + (f" of {service}" if service else ""))
    if response.unreached:
        raise _not_reached(response, service)


def _not_reached(response: pb.RetryResponse, service: str) -> Failure:
    """What is to be said of the controllers whose proxies were sent nothing."""
    each = [f"{one.controller} ({one.reason})" for one in response.unreached]
    return Failure(
        Exit.UNREACHABLE,
        clean(f"not sent to the proxies of {', '.join(each)}"),
        hint="\n".join(clean(f"haldane --admin {one.admin} retry {service}".rstrip()) for one in response.unreached),
        facts=plain(response),
    )
