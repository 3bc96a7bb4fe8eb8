"""`serve`, `bootstrap`: the controller, and the configuration of the proxies that it serves."""

from dataclasses import replace
from typing import Literal

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import DEFAULT_XDS, Invocation, output_option
from controller.cli.output import print_json

_OPTIONS = {"store": "--store", "xds_listen": "--xds", "admin_listen": "--admin", "http_listen": "--http"}
"""The options that settings can be given by."""


@click.command()
@click.option("--store", help="Where state lives: sqlite:PATH (HALDANE_STORE)")
@click.option("--xds", metavar="HOST:PORT", help="Where proxies connect (HALDANE_XDS_LISTEN)")
@click.option("--admin", metavar="HOST:PORT", help="The admin API (HALDANE_ADMIN_LISTEN)")
@click.option("--http", metavar="HOST:PORT", help="Console, metrics, health (HALDANE_HTTP_LISTEN)")
@click.pass_context
def serve(ctx: click.Context, store: str | None, xds: str | None, admin: str | None, http: str | None) -> None:
    """Run the controller until SIGTERM or Ctrl-C. Settings: HALDANE_... and the file that HALDANE_CONFIG names."""
    from controller.core.base.errors import Refusal
    from controller.settings import read_settings

    given = {"store": store, "xds_listen": xds, "admin_listen": admin, "http_listen": http}
    try:
        settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    except Refusal as refusal:
        violations = [replace(v, field=_OPTIONS.get(v.field, v.field)) for v in refusal.violations]
        wrong = "the settings are not valid:"
        raise Failure(Exit.USAGE, wrong, code=refusal.code, violations=violations) from None
    from controller.app import serve as run  # all of the controller is loaded here, and by no other command

    ctx.exit(run(settings))


@click.command()
@click.option("--fleet", required=True, help="The fleet that the proxy belongs to; its node.cluster.")
@click.option("--node", default="", help="The proxy's own id. Default: this host's name and a random end.")
@click.option(
    "--xds",
    metavar="HOST:PORT",
    envvar="HALDANE_XDS_LISTEN",
    default=DEFAULT_XDS,
    help=f"This controller; default: HALDANE_XDS_LISTEN or {DEFAULT_XDS}.",
)
@click.option(
    "--envoy-admin",
    metavar="HOST:PORT|none",
    default="127.0.0.1:9901",
    show_default=True,
    help="Envoy's own admin page.",
)
@click.option(
    "--protocol", type=click.Choice(["delta", "sotw"]), default="delta", show_default=True, help="The form of xDS."
)
@output_option
@click.pass_obj
def bootstrap(
    call: Invocation, fleet: str, node: str, xds: str, envoy_admin: str, protocol: Literal["delta", "sotw"]
) -> None:
    """Print the Envoy bootstrap for this controller: YAML, ready for `envoy -c`. With -o json as JSON, which Envoy
    reads as well from a file that is named so."""
    import yaml

    from controller.bootstrap import render

    try:
        page = None if envoy_admin == "none" else envoy_admin
        text = render(fleet=fleet, node=node, xds=xds, envoy_admin=page, protocol=protocol)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    if call.json:
        print_json(yaml.safe_load(text))
    else:
        click.echo(text, nl=False)
