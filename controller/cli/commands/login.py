"""`login`, `logout`: tokens of the issuer of a controller, by its device flow, for all commands."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.admin_client import AdminClient
from controller.cli.endpoint import SYSTEM
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import print_json
from controller.cli.saved_login import SavedLogin, delete_login, read_login, write_login
from controller.cli.text.logins import describe_login, login_document
from controller.cli.text.values import format_span
from controller.core.base.text import clean
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from controller.identity.device_login import DeviceCode


@click.command()
@click.option(
    "--issuer-ca",
    metavar="FILE",
    envvar="HALDANE_ISSUER_CA",
    default="",
    help="CAs of the issuer's certificate, if they are not the system's (HALDANE_ISSUER_CA).",
)
@client_options
@click.pass_obj
def login(invocation: Invocation, issuer_ca: str) -> None:
    """Log in at the controller's issuer: all commands to this controller bring your token then.

    Shows an address and a code for a browser, on whatever machine, and waits. The token is kept in a
    file for you alone and renewed by itself, until `haldane logout`.
    """
    from controller.cli.issuer import log_in  # slow to load

    endpoint = invocation.login_endpoint()
    endpoint.check_secrets()
    with AdminClient(endpoint) as client:
        config = client.call("Access/GetLoginConfig", pb.GetLoginConfigRequest(), pb.LoginConfig)
    if not config.issuer:
        message = f"nobody can log in at {endpoint.address}: its settings have no issuer with a client_id"
        hint = "bring --certificate and --key, or --token-file"
        raise Failure(Exit.NOT_POSSIBLE, message, code="NO_ISSUER", hint=hint)
    begun = SavedLogin(
        admin=endpoint.address,
        issuer=config.issuer,
        client_id=config.client_id,
        audience=config.audience,
        token="",
        expires_at=0.0,
        issuer_ca=_absolute(issuer_ca),
        ca=_absolute(endpoint.ca),
    )
    done = log_in(begun, tuple(config.scopes), _show)
    # It is kept only once the controller has accepted it, as it is.
    with AdminClient(invocation.login_endpoint(replace(done, expires_at=0.0))) as client:
        me = client.call("Access/WhoAmI", pb.WhoAmIRequest(), pb.WhoAmIResponse, again=False)
    write_login(done)
    if invocation.json:
        print_json({"who": me.who, "verified_by": me.verified_by, **login_document(done)})
        return
    click.echo(
        f"{clean(me.who)} (verified by {me.verified_by}) at {endpoint.address}, {describe_login(done, time.time())}"
    )
    if me.restricted and not me.grants:
        click.echo("no role: nothing is allowed; [[access]] in the controller's settings gives one")


@click.command()
@client_options
@click.pass_obj
def logout(invocation: Invocation) -> None:
    """Forget your login at this controller, and end it at the issuer."""
    admin = invocation.login_endpoint().address
    warning = _ended_at_issuer(admin)
    was = delete_login(admin)
    if invocation.json:
        print_json({"admin": admin, "logged_out": was, "warning": warning})
        return
    click.echo(f"logged out at {admin}" if was else f"you were not logged in at {admin}")
    if warning:
        click.echo(f"warning: {warning}", err=True)


def _ended_at_issuer(admin: str) -> str:
    """End the login there; why that did not work, "" if it did, or if there is none to end."""
    try:
        saved = read_login(admin)
    except Failure as failure:
        return f"it is not ended at the issuer: {failure.message}"
    if saved is None or not saved.refresh_token:
        return ""
    from controller.cli.issuer import Unanswered, end  # slow to load

    try:
        end(saved)
    except Unanswered as unanswered:
        return f"it is not ended at {saved.issuer}: {unanswered}"
    return ""


def _show(code: "DeviceCode") -> None:
    """On standard error, so that standard output has one JSON document."""
    click.echo(f"open {code.page} in a browser, and enter the code {code.user_code}", err=True)
    if code.page_with_code:
        click.echo(f"or open {code.page_with_code}", err=True)
    click.echo(f"the code is valid for {format_span(code.lifetime)}; waiting ...", err=True)


def _absolute(path: str) -> str:
    return path if path in ("", SYSTEM) else str(Path(path).expanduser().absolute())
