"""`bootstrap`: the configuration of a proxy that this controller serves."""

from typing import Literal

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import DEFAULT_XDS, Invocation, output_option
from controller.cli.output import print_json
from controller.cli.shell_completion import complete_fleets


@click.command()
@click.option("--fleet", required=True, shell_complete=complete_fleets, help="The proxy's fleet, its node.cluster.")
@click.option("--node", default="", help="The proxy's own id. Default: this host's name and a random suffix.")
@click.option(
    "--xds",
    metavar="HOST:PORT",
    envvar="HALDANE_XDS_LISTEN",
    default=DEFAULT_XDS,
    help=f"The controller's xDS address. Default: HALDANE_XDS_LISTEN or {DEFAULT_XDS}.",
)
@click.option(
    "--envoy-admin",
    metavar="HOST:PORT|none",
    default="127.0.0.1:9901",
    show_default=True,
    help="Address of Envoy's own admin interface.",
)
@click.option(
    "--protocol", type=click.Choice(["delta", "sotw"]), default="delta", show_default=True, help="The variant of xDS."
)
@output_option
@click.pass_obj
def bootstrap(
    invocation: Invocation, fleet: str, node: str, xds: str, envoy_admin: str, protocol: Literal["delta", "sotw"]
) -> None:
    """Print the Envoy bootstrap for this controller: YAML, ready for `envoy -c`.

    With -o json it is JSON, which Envoy reads from a file named *.json.
    """
    import yaml

    from controller.bootstrap import render

    try:
        address = None if envoy_admin == "none" else envoy_admin
        text = render(fleet=fleet, node=node, xds=xds, envoy_admin=address, protocol=protocol)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    if invocation.json:
        print_json(yaml.safe_load(text))
    else:
        click.echo(text, nl=False)
