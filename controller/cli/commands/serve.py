"""`serve`: the controller."""

import os

import click

from controller.cli.server_settings import server_settings, store_option


@click.command()
@store_option
@click.option("--xds", metavar="HOST:PORT", help="Where proxies connect (HALDANE_XDS_LISTEN).")
@click.option("--admin", metavar="HOST:PORT", help="The admin API (HALDANE_ADMIN_LISTEN).")
@click.option("--http", metavar="HOST:PORT", help="Console, metrics, health (HALDANE_HTTP_LISTEN).")
@click.option("--init", is_flag=True, help="Make an empty store although one was there, or its folder is missing.")
@click.pass_context
def serve(
    ctx: click.Context, store: str | None, xds: str | None, admin: str | None, http: str | None, *, init: bool
) -> None:
    """Run the controller until SIGTERM or Ctrl-C.

    Settings: HALDANE_... and the file that HALDANE_CONFIG names.
    """
    settings = server_settings({"store": store, "xds_listen": xds, "admin_listen": admin, "http_listen": http})
    # Otherwise gRPC writes a line for each TLS handshake that fails, however many there are.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from controller.app import serve as run  # loads all of the controller, which no other command needs

    ctx.exit(run(settings, init=init))
