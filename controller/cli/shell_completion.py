"""Completion of service, version and fleet names in the shell.

Never slow, and silent if the controller is away.
"""

from collections.abc import Iterable

import click

from controller.cli.invocation import Decorated, Invocation
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

DEADLINE = 0.5
"""Seconds that the controller has to respond: the user waits after pressing Tab."""


def complete_services(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The services whose names begin so."""
    return _matching(incomplete, (service.name for service in _services(ctx)))


def complete_versions(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The versions of the service on the command line that begin so, the stable excepted; of all
    services if none."""
    named = ctx.params.get("service")
    services = [service for service in _services(ctx) if named in (None, "", service.name)]
    return _matching(incomplete, (v for service in services for v in service.versions if v != service.stable))


def complete_fleets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The fleets that services name and that begin so."""
    return _matching(incomplete, (fleet for service in _services(ctx) for fleet in service.fleets))


def service_argument(command: Decorated) -> Decorated:
    """Add the argument SERVICE, which the shell can complete."""
    return click.argument("service", shell_complete=complete_services)(command)


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _services(ctx: click.Context) -> list[pb.Service]:
    from controller.cli.admin_client import AdminClient  # gRPC: completing a command's name does without

    invocation = ctx.find_object(Invocation) or Invocation()
    try:
        with AdminClient(invocation.endpoint()) as client:
            return client.services(DEADLINE)
    except click.ClickException:
        return []
