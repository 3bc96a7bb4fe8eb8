"""`serve`: the controller."""

from dataclasses import replace

import click

from controller.cli.failure import Exit, Failure

_OPTIONS = {"store": "--store", "xds_listen": "--xds", "admin_listen": "--admin", "http_listen": "--http"}
"""The options by which settings can be given."""


@click.command()
@click.option("--store", help="Where state is stored: sqlite:PATH (HALDANE_STORE).")
@click.option("--xds", metavar="HOST:PORT", help="Where proxies connect (HALDANE_XDS_LISTEN).")
@click.option("--admin", metavar="HOST:PORT", help="The admin API (HALDANE_ADMIN_LISTEN).")
@click.option("--http", metavar="HOST:PORT", help="Console, metrics, health (HALDANE_HTTP_LISTEN).")
@click.pass_context
def serve(ctx: click.Context, store: str | None, xds: str | None, admin: str | None, http: str | None) -> None:
    """Run the controller until SIGTERM or Ctrl-C.

    Settings: HALDANE_... and the file that HALDANE_CONFIG names.
    """
    from controller.core.base.errors import Refusal
    from controller.settings import read_settings

    given = {"store": store, "xds_listen": xds, "admin_listen": admin, "http_listen": http}
    try:
        settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    except Refusal as refusal:
        violations = [replace(v, field=_OPTIONS.get(v.field, v.field)) for v in refusal.violations]
        message = "the settings are not valid:"
        raise Failure(Exit.USAGE, message, code=refusal.code, violations=violations) from None
    from controller.app import serve as run  # loads all of the controller, which no other command needs

    ctx.exit(run(settings))
