"""What an operator does with a rollout: start, pause, resume, approve, promote, roll back."""

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, act_options
from controller.cli.output import plain, print_json
from controller.cli.text.lines import rollout_line
from controller.core.base.units import parse_share, to_basis_points
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command()
@click.argument("service")
@click.option("--canary", required=True, metavar="VERSION", help="The version to bring in.")
@act_options
@click.pass_obj
def start(call: Invocation, service: str, canary: str, reason: str, request_id: str) -> None:
    """Start a rollout: give a canary its first share of the traffic."""
    request = pb.StartCanaryRequest(service=service, canary=canary, reason=reason, request_id=request_id)
    with AdminClient(call.admin) as client:
        _show(call, client.ask("Rollouts/StartCanary", request, pb.Rollout))


@click.command()
@click.argument("service")
@click.option("--force", is_flag=True, help="Through a freeze, and though stable has no healthy endpoint.")
@act_options
@click.pass_obj
def rollback(call: Invocation, service: str, force: bool, reason: str, request_id: str) -> None:
    """Send all traffic back to the stable version, now. With --force a --reason is needed."""
    request = pb.RollbackRequest(service=service, reason=reason, request_id=request_id, force=force)
    with AdminClient(call.admin) as client:
        _show(call, client.ask("Rollouts/Rollback", request, pb.Rollout))


def _act(name: str, method: str, summary: str) -> click.Command:
    """The command for an act that needs no more than the service's name."""

    @click.command(name, help=summary)
    @click.argument("service")
    @act_options
    @click.pass_obj
    def act(call: Invocation, service: str, reason: str, request_id: str) -> None:
        request = pb.RolloutRequest(service=service, reason=reason, request_id=request_id)
        with AdminClient(call.admin) as client:
            _show(call, client.ask(f"Rollouts/{method}", request, pb.Rollout))

    return act


pause = _act("pause", "Pause", "Hold automation where it is; protection stays on: harm still rolls back.")
resume = _act("resume", "Resume", "Let automation go on where it was paused.")


@click.command()
@click.argument("service")
@click.option(
    "--to", "share", default="", metavar="SHARE", help="Only if it is this share that waits for a yes, such as 50%."
)
@click.option("--canary", default="", metavar="VERSION", help="Only if it is this version that rolls out.")
@act_options
@click.pass_obj
def approve(call: Invocation, service: str, share: str, canary: str, reason: str, request_id: str) -> None:
    """Say yes to the next share, where the policy asks a person.

    With --to and --canary a yes that comes late is a yes to nothing else.
    """
    request = pb.RolloutRequest(
        service=service, reason=reason, request_id=request_id, canary=canary, weight=_weight(share)
    )
    with AdminClient(call.admin) as client:
        _show(call, client.ask("Rollouts/Approve", request, pb.Rollout))


promote = _act("promote", "Promote", "Send all traffic to the canary now, without further evidence.")

divert = _act("divert", "Divert", "Send all traffic to the fallback that the service file declares.")
restore = _act("restore", "Restore", "Take the traffic back from the fallback.")


def _weight(share: str) -> int:
    try:
        weight = to_basis_points(parse_share(share)) if share else 0
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--to") from None
    if share and not weight:
        raise click.BadParameter("a share above 0% is needed", param_hint="--to")
    return weight


def _show(call: Invocation, rollout: pb.Rollout) -> None:
    if call.json:
        print_json(plain(rollout))
    else:
        click.echo(rollout_line(rollout))
