"""`serve`: the controller."""

import os

import click

from controller.cli.server_settings import server_settings, store_option

SETTINGS = {"xds": "xds_listen", "admin": "admin_listen", "http": "http_listen"}
"""The settings that options are, where those have another name."""


@click.command()
@store_option
@click.option("--xds", metavar="HOST:PORT", help="Where proxies connect (HALDANE_XDS_LISTEN).")
@click.option("--admin", metavar="HOST:PORT", help="The admin API (HALDANE_ADMIN_LISTEN).")
@click.option("--http", metavar="HOST:PORT", help="Console, metrics, health (HALDANE_HTTP_LISTEN).")
@click.option(
    "--apply-from",
    metavar="DIR",
    help="Apply the service files in this folder, and again when they change (HALDANE_APPLY_FROM).",
)
@click.option("--workers", metavar="N", help="How many processes serve proxies, 1 to 64 (HALDANE_WORKERS).")
@click.option(
    "--init",
    is_flag=True,
    help="Make an empty store although one was there, or its folder is missing. With etcd: take another store than "
    "the one that this controller served last.",
)
@click.pass_context
def serve(ctx: click.Context, /, *, init: bool, **given: str | None) -> None:
    """Run the controller until SIGTERM or Ctrl-C.

    Settings: HALDANE_... and the file that HALDANE_CONFIG names.
    """
    settings = server_settings({SETTINGS.get(option, option): value for option, value in given.items()})
    # Otherwise gRPC writes a line for each TLS handshake that fails, however many there are.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from controller.app import serve as run  # loads all of the controller, which no other command needs

    ctx.exit(run(settings, init=init))
