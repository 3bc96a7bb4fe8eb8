"""`bootstrap`: the configuration of a proxy that this controller serves."""

from collections.abc import Mapping
from typing import Any

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
@click.option("--rds-only", is_flag=True, help="Print what to merge into the file of an Envoy that has its listeners.")
@click.option(
    "--route-config", metavar="NAME", default="", help="With --rds-only: the services' route_config. Default: haldane."
)
@click.option(
    "--own-cluster",
    "own_clusters",
    multiple=True,
    metavar="NAME",
    help="With --rds-only: a cluster of the file that is a version, for exact latencies. Repeatable.",
)
@output_option
@click.pass_obj
def bootstrap(
    invocation: Invocation, /, rds_only: bool, route_config: str, own_clusters: tuple[str, ...], **options: Any
) -> None:
    """Print the Envoy bootstrap for this controller: YAML, ready for `envoy -c`.

    With -o json it is JSON, which Envoy reads from a file named *.json.
    """
    import yaml

    if (route_config or own_clusters) and not rds_only:
        raise click.UsageError("--route-config and --own-cluster are for --rds-only")
    try:
        text = _snippet(route_config, own_clusters, options) if rds_only else _bootstrap(options)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    if invocation.json:
        print_json(yaml.safe_load(text))
    else:
        click.echo(text, nl=False)


def _bootstrap(options: Mapping[str, Any]) -> str:
    from controller.bootstrap import render

    envoy_admin = options["envoy_admin"]
    return render(**{**options, "envoy_admin": None if envoy_admin == "none" else envoy_admin})


def _snippet(route_config: str, own_clusters: tuple[str, ...], options: Mapping[str, Any]) -> str:
    """The file has an admin page, or none: an address for it is not asked for."""
    from controller.bootstrap.rds_only import ROUTE_CONFIG, render

    wanted = {name: value for name, value in options.items() if name != "envoy_admin"}
    return render(**wanted, route_config=route_config or ROUTE_CONFIG, own_clusters=own_clusters)
