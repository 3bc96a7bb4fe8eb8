"""`freeze`, `unfreeze`, `freezes`: the kill switch."""

import time
from collections.abc import Sequence

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Decorated, Invocation, client_options, reason_option, request_id_option
from controller.cli.output import plain, print_json
from controller.cli.shell_completion import complete_services
from controller.cli.text.lines import freeze_line
from controller.core.base.text import clean
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def _scope_options(command: Decorated) -> Decorated:
    """The arguments and options that freeze and unfreeze share. A reason is required."""
    services = click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete_services)
    every = click.option("--all", "every", is_flag=True, help="Every service, also those declared later.")
    return services(every(reason_option(client_options(request_id_option(command)), required=True)))


@click.command()
@_scope_options
@click.option("--ttl", default="", metavar="DURATION", help="Lift it after this time, such as 30m. Default: never.")
@click.option("--hold", is_flag=True, help="Forbid advances and deletion; rollbacks and the fallback stay allowed.")
@click.pass_obj
def freeze(invocation: Invocation, services: tuple[str, ...], every: bool, ttl: str, hold: bool) -> None:
    """Freeze routing: neither automation nor an ordinary command moves a weight until the freeze is
    lifted.

    Returns once the freeze is durable. The judge keeps running and records what it would have done.
    """
    _check_scope(services, every)
    request = pb.FreezeRequest(
        services=services,
        all=every,
        reason=invocation.reason,
        ttl=ttl,
        request_id=invocation.request_id,
        mode="hold" if hold else "freeze",
    )
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("KillSwitch/Freeze", request, pb.FreezeResponse)
    if invocation.json:
        print_json(plain(response))
    else:
        _print(response.freezes)


@click.command()
@_scope_options
@click.pass_obj
def unfreeze(invocation: Invocation, services: tuple[str, ...], every: bool) -> None:
    """Lift freezes and holds; --all lifts every one."""
    _check_scope(services, every)
    request = pb.UnfreezeRequest(
        services=services, all=every, reason=invocation.reason, request_id=invocation.request_id
    )
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("KillSwitch/Unfreeze", request, pb.UnfreezeResponse)
    if invocation.json:
        print_json(plain(response))
    else:
        for lifted in response.lifted:
            click.echo(f"lifted: {freeze_line(lifted, time.time())}")
        for standing in response.standing:
            click.echo(f"still in force: {freeze_line(standing, time.time())}")


@click.command()
@client_options
@click.pass_obj
def freezes(invocation: Invocation) -> None:
    """List the freezes and holds in force."""
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("KillSwitch/ListFreezes", pb.ListFreezesRequest(), pb.ListFreezesResponse)
    if invocation.json:
        print_json(plain(response))
    elif response.freezes:
        _print(response.freezes)
    else:
        click.echo("nothing is frozen")
    if response.store_problem and not invocation.json:
        click.echo(clean(f"as known last: {response.store_problem}"))


def _check_scope(services: Sequence[str], every: bool) -> None:
    if bool(services) == every:
        raise click.UsageError("name the services, or --all for every one")


def _print(freezes: Sequence[pb.FreezeInfo]) -> None:
    for item in freezes:
        click.echo(freeze_line(item, time.time()))
