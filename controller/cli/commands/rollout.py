"""What an operator does with a rollout: start, pause, resume, approve, promote, roll back; divert
and undivert."""

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, act_options
from controller.cli.output import plain, print_json
from controller.cli.shell_completion import complete_versions, service_argument
from controller.cli.suggestions import did_you_mean
from controller.cli.text.lines import rollout_line
from controller.core.base.units import parse_share, to_basis_points
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command()
@service_argument
@click.option("--canary", required=True, metavar="VERSION", shell_complete=complete_versions, help="The new version.")
@act_options
@click.pass_obj
def start(invocation: Invocation, service: str, canary: str) -> None:
    """Start a rollout: give the canary its first share of the traffic."""
    request = pb.StartCanaryRequest(
        service=service, canary=canary, reason=invocation.reason, request_id=invocation.request_id
    )
    with AdminClient(invocation.endpoint()) as client:
        try:
            rollout = client.call("Rollouts/StartCanary", request, pb.Rollout)
        except Failure as failure:
            if failure.status is Exit.USAGE and not failure.hint:
                failure.hint = _other_version(client, service, canary)
            raise
    _print(invocation, rollout)


@click.command()
@service_argument
@click.option("--force", is_flag=True, help="Override a freeze, and a stable version without a healthy endpoint.")
@act_options
@click.pass_obj
def rollback(invocation: Invocation, service: str, force: bool) -> None:
    """Send all traffic back to the stable version now. --force needs a --reason."""
    request = pb.RollbackRequest(
        service=service, reason=invocation.reason, request_id=invocation.request_id, force=force
    )
    with AdminClient(invocation.endpoint()) as client:
        _print(invocation, client.call("Rollouts/Rollback", request, pb.Rollout))


def _plain_act(name: str, method: str, summary: str) -> click.Command:
    """The command for an act that needs only the service's name."""

    @click.command(name, help=summary)
    @service_argument
    @act_options
    @click.pass_obj
    def act(invocation: Invocation, service: str) -> None:
        request = pb.RolloutRequest(service=service, reason=invocation.reason, request_id=invocation.request_id)
        with AdminClient(invocation.endpoint()) as client:
            _print(invocation, client.call(f"Rollouts/{method}", request, pb.Rollout))

    return act


pause = _plain_act("pause", "Pause", "Pause automation. Protection stays on: harm still rolls the canary back.")
resume = _plain_act("resume", "Resume", "Resume automation where it was paused.")


@click.command()
@service_argument
@click.option(
    "--to", "share", default="", metavar="SHARE", help="Approve only if this share waits for approval, such as 50%."
)
@click.option(
    "--canary",
    default="",
    metavar="VERSION",
    shell_complete=complete_versions,
    help="Approve only if this version is the canary.",
)
@act_options
@click.pass_obj
def approve(invocation: Invocation, service: str, share: str, canary: str) -> None:
    """Approve the next share, where the policy asks for an approval.

    With --to and --canary a late approval is refused if another share or another canary waits by
    then.
    """
    request = pb.RolloutRequest(
        service=service,
        reason=invocation.reason,
        request_id=invocation.request_id,
        canary=canary,
        weight=_weight(share),
    )
    with AdminClient(invocation.endpoint()) as client:
        _print(invocation, client.call("Rollouts/Approve", request, pb.Rollout))


promote = _plain_act("promote", "Promote", "Send all traffic to the canary now, without further evidence.")

divert = _plain_act("divert", "Divert", "Send all traffic to the fallback that the service file declares.")
undivert = _plain_act("undivert", "Restore", "Take the traffic back from the fallback.")


def _other_version(client: AdminClient, service: str, canary: str) -> str:
    """A question that names the version which a misspelt one probably means; empty if none is
    similar."""
    try:
        declared = client.call("Catalog/GetService", pb.GetServiceRequest(service=service), pb.Service)
    except Failure:
        return ""
    return did_you_mean(canary, declared.versions)


def _weight(share: str) -> int:
    """The share in basis points, 0 for an empty one. Raises `click.BadParameter`."""
    try:
        weight = to_basis_points(parse_share(share)) if share else 0
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from None
    if share and not weight:
        raise click.BadParameter("a share above 0% is needed", param_hint="--to")
    return weight


def _print(invocation: Invocation, rollout: pb.Rollout) -> None:
    if invocation.json:
        print_json(plain(rollout))
    else:
        click.echo(rollout_line(rollout))
