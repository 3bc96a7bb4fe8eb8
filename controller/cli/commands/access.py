"""`whoami`, `can`: who the controller takes the caller for, and what that caller may do."""

import time

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.saved_login import read_login
from controller.cli.shell_completion import complete_services
from controller.cli.suggestions import did_you_mean
from controller.cli.text.logins import describe_login, login_document
from controller.core.access.permission import Permission
from controller.core.base.text import clean
from controller.core.model.actor import describe_actor
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

OF_COMMAND = {
    **dict.fromkeys(("list", "get", "watch", "wait", "freezes", "proxies", "events", "explain"), Permission.VIEW),
    **dict.fromkeys(("backtest", "controllers"), Permission.VIEW),
    **dict.fromkeys(("start", "pause", "resume", "approve", "promote"), Permission.OPERATE),
    **dict.fromkeys(("divert", "undivert", "retry"), Permission.OPERATE),
    "rollback": Permission.ROLL_BACK,
    "rollback --force": Permission.FORCE_ROLLBACK,
    "freeze": Permission.FREEZE,
    "freeze --hold": Permission.HOLD,
    "unfreeze": Permission.LIFT,
    **dict.fromkeys(("apply", "delete"), Permission.APPLY),
    **dict.fromkeys(("proxies --exclude", "proxies --include"), Permission.ADMINISTER),
}
"""The commands, and the permission that each takes. To lift a freeze of one's own takes less than `unfreeze` here."""
ACTS = sorted({*OF_COMMAND, *(each.value for each in Permission if each is not Permission.PUBLIC)})


@click.command()
@client_options
@click.pass_obj
def whoami(invocation: Invocation) -> None:
    """Show who the controller takes you for, how it knows that, and your roles."""
    endpoint = invocation.endpoint()
    with AdminClient(endpoint) as client:
        response = client.call("Access/WhoAmI", pb.WhoAmIRequest(), pb.WhoAmIResponse)
    saved = read_login(client.address) if endpoint.login else None  # the token may have been renewed
    if invocation.json:
        login = login_document(saved) if saved else None
        print_json({**plain(response), "admin": client.address, "login": login})
        return
    known = f" (verified by {response.verified_by})" if response.verified_by else ""
    who = describe_actor(response.who, unverified=response.unverified)
    click.echo(f"{clean(who)}{known} at {client.address}")
    if not response.restricted:
        click.echo("the settings bind nobody: whoever reaches the controller may do everything")
    elif not response.grants:
        click.echo("no role: nothing is allowed")
    for grant in response.grants:
        click.echo(f"{grant.role} on {', '.join(map(clean, grant.services))}")
    names = sorted({*response.subjects, *(f"group {group}" for group in response.groups)} - {response.who})
    if names:
        click.echo(f"also known as {', '.join(map(clean, names))}")
    if saved:
        click.echo(describe_login(saved, time.time()))


# What follows the first word may be an option of the command that is meant, such as `rollback --force`.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, metavar="ACT SERVICE", shell_complete=complete_services)
@click.option("--all", "everything", is_flag=True, help="What concerns all services, in place of SERVICE.")
@client_options
@click.pass_obj
def can(invocation: Invocation, words: tuple[str, ...], everything: bool) -> None:
    """Say whether you may do something to a service. Exit code 0: yes; 1: no.

    ACT is a command (start, apply, rollback --force, freeze --hold) or a permission (view, operate,
    roll_back). SERVICE need not exist yet.
    """
    *act, service = (*words, "") if everything else words
    permission = _permission(" ".join(act))
    request = pb.CanRequest(permission=permission, service=service)
    with AdminClient(invocation.endpoint()) as client:
        response = client.call("Access/Can", request, pb.CanResponse)
    if invocation.json:
        document = {"allowed": response.allowed, "permission": permission, "reason": response.reason}
        print_json({**document, "service": service or "*"})
    else:
        click.echo("yes" if response.allowed else f"no: {clean(response.reason)}")
    if not response.allowed:
        raise click.exceptions.Exit(Exit.FAILED)


def _permission(act: str) -> Permission:
    """The permission of an act. Raises `Failure` for one that there is not."""
    if not act:
        raise Failure(Exit.USAGE, "name what to do and to which service: `haldane can rollback SERVICE`, or --all")
    if act in OF_COMMAND:
        return OF_COMMAND[act]
    if act not in ACTS:
        hint = did_you_mean(act, ACTS) or f"one of {', '.join(ACTS)}"
        raise Failure(Exit.USAGE, f"there is no act {act!r}", hint=hint)
    return Permission(act)
