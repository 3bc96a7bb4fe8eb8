"""`freeze`, `unfreeze`, `freezes`: the kill switch."""

import time
from collections.abc import Sequence

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Decorated, Invocation, client_options, request_id_option
from controller.cli.output import plain, print_json
from controller.cli.text.lines import freeze_line
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def _switch_options(command: Decorated) -> Decorated:
    """What freeze and unfreeze share: which services, and why."""
    scope = click.argument("services", nargs=-1, metavar="[SERVICE]...")
    every = click.option("--all", "every", is_flag=True, help="Every service, those to come included.")
    reason = click.option("--reason", required=True, help="Why; everybody who watches sees it.")
    return scope(every(reason(client_options(request_id_option(command)))))


@click.command()
@_switch_options
@click.option("--ttl", default="", metavar="DURATION", help="Ends by itself after this, such as 30m. Default: never.")
@click.option("--hold", is_flag=True, help="Only stop advances; rollbacks stay allowed.")
@click.pass_obj
def freeze(
    call: Invocation, services: tuple[str, ...], every: bool, reason: str, ttl: str, hold: bool, request_id: str
) -> None:
    """Freeze routing: no weight moves, by automation or by ordinary commands, until it is lifted.

    Returns once the freeze is durable. The judge goes on, and says what it would have done.
    """
    _check_scope(services, every)
    mode = "hold" if hold else "freeze"
    request = pb.FreezeRequest(services=services, all=every, reason=reason, ttl=ttl, request_id=request_id, mode=mode)
    with AdminClient(call.admin) as client:
        answer = client.ask("KillSwitch/Freeze", request, pb.FreezeResponse)
    if call.json:
        print_json(plain(answer))
    else:
        _print(answer.freezes)


@click.command()
@_switch_options
@click.pass_obj
def unfreeze(call: Invocation, services: tuple[str, ...], every: bool, reason: str, request_id: str) -> None:
    """Lift freezes and holds; --all lifts every one there is."""
    _check_scope(services, every)
    request = pb.UnfreezeRequest(services=services, all=every, reason=reason, request_id=request_id)
    with AdminClient(call.admin) as client:
        answer = client.ask("KillSwitch/Unfreeze", request, pb.UnfreezeResponse)
    if call.json:
        print_json(plain(answer))
    else:
        for lifted in answer.lifted:
            click.echo(f"lifted: {freeze_line(lifted, time.time())}")
        for standing in answer.standing:
            click.echo(f"still in force: {freeze_line(standing, time.time())}")


@click.command()
@client_options
@click.pass_obj
def freezes(call: Invocation) -> None:
    """Show the freezes and holds in force."""
    with AdminClient(call.admin) as client:
        answer = client.ask("KillSwitch/ListFreezes", pb.ListFreezesRequest(), pb.ListFreezesResponse)
    if call.json:
        print_json(plain(answer))
    elif answer.freezes:
        _print(answer.freezes)
    else:
        click.echo("nothing is frozen")


def _check_scope(services: Sequence[str], every: bool) -> None:
    if bool(services) == every:
        raise click.UsageError("name the services, or --all for every one")


def _print(found: Sequence[pb.FreezeInfo]) -> None:
    for item in found:
        click.echo(freeze_line(item, time.time()))
