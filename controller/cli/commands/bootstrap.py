"""`bootstrap`: the configuration of a proxy that this controller serves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import DEFAULT_XDS, Invocation, output_option
from controller.cli.output import print_json
from controller.cli.shell_completion import complete_fleets
from controller.core.access.spiffe_names import CONTROLLER

if TYPE_CHECKING:
    from controller.bootstrap.proxy_tls import ProxyTls


@click.command()
@click.option("--fleet", required=True, shell_complete=complete_fleets, help="The proxy's fleet, its node.cluster.")
@click.option("--node", default="", help="The proxy's own id. Default: this host's name and a random suffix.")
@click.option(
    "--xds",
    metavar="HOST:PORT,...",
    envvar="HALDANE_XDS_LISTEN",
    default=DEFAULT_XDS,
    help="The controller's xDS address, or those of several in the order of preference. "
    f"Default: HALDANE_XDS_LISTEN or {DEFAULT_XDS}.",
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
@click.option("--grpc", is_flag=True, help="Print the JSON bootstrap of a proxyless gRPC client.")
@click.option(
    "--tls",
    "folder",
    metavar="DIR",
    default="",
    help="Connect by TLS; DIR on the proxy's machine has tls.crt, tls.key and ca.crt.",
)
@click.option(
    "--sds", metavar="DIR", default="", help="Where the SDS files are on the proxy's machine. Default: --tls."
)
@click.option("--write-sds", metavar="DIR", default="", help="Write the SDS files into DIR on this machine.")
@click.option(
    "--controller",
    metavar="NAME",
    default=CONTROLLER,
    help=f"The controller's name in its certificate: SPIFFE ID or DNS name. Default: {CONTROLLER}.",
)
@output_option
@click.pass_obj
def bootstrap(invocation: Invocation, /, **options: Any) -> None:
    """Print the Envoy bootstrap for this controller: YAML, ready for `envoy -c`.

    With -o json it is JSON, which Envoy reads from a file named *.json. Several controllers are named
    by --xds HOST:PORT,HOST:PORT: a proxy uses the first one that is there.
    """
    import yaml

    _check_together(options)
    try:
        tls = _proxy_tls(options)
        text = _text(options, tls)
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from None
    if invocation.json:
        print_json(yaml.safe_load(text))
    else:
        click.echo(text, nl=False)
    if tls and not options["grpc"]:
        _write_sds(tls, options["write_sds"])


def _check_together(options: Mapping[str, Any]) -> None:
    """Raises `click.UsageError` for options that belong to others."""
    if (options["route_config"] or options["own_clusters"]) and not options["rds_only"]:
        raise click.UsageError("--route-config and --own-cluster are for --rds-only")
    if options["grpc"] and options["rds_only"]:
        raise click.UsageError("--grpc and --rds-only are for different clients")
    if (options["sds"] or options["write_sds"]) and (options["grpc"] or not options["folder"]):
        raise click.UsageError("--sds and --write-sds are for an Envoy with --tls")


def _proxy_tls(options: Mapping[str, Any]) -> "ProxyTls | None":
    """What --tls says; None without it. ValueError that names the option."""
    from controller.bootstrap.proxy_tls import ProxyTls

    if not options["folder"]:
        return None
    return ProxyTls(options["folder"], options["sds"], options["controller"])


def _text(options: Mapping[str, Any], tls: "ProxyTls | None") -> str:
    """What is printed. ValueError that names the option."""
    from controller.bootstrap import configuration, proxyless, rds_only, render

    whom = {"fleet": options["fleet"], "node": options["node"], "xds": options["xds"], "tls": tls}
    if options["grpc"]:
        return json.dumps(proxyless.configuration(**whom), indent=2) + "\n"
    if options["rds_only"]:
        whole = configuration(**whom, envoy_admin=None, protocol=options["protocol"])
        name = options["route_config"] or rds_only.ROUTE_CONFIG
        return rds_only.render(whole, route_config=name, own_clusters=options["own_clusters"])
    admin = None if options["envoy_admin"] == "none" else options["envoy_admin"]
    return render(**whom, envoy_admin=admin, protocol=options["protocol"])


def _write_sds(tls: "ProxyTls", folder: str) -> None:
    """Write the SDS files, or say that Envoy will need them."""
    files = tls.sds_files()
    if not folder:
        needed = " and ".join(f"{tls.sds or tls.folder}/{name}" for name in files)
        click.echo(f"note: Envoy reads {needed}: --write-sds DIR writes them", err=True)
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (Path(folder) / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise Failure(Exit.FAILED, f"--write-sds: {folder}: {error.strerror}") from None
