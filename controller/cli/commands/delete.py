"""`delete`: a service that is no longer served. One that carries traffic needs a confirmation."""

import sys

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, act_options
from controller.cli.output import plain, print_json
from controller.cli.shell_completion import service_argument
from controller.cli.text.numbers import format_rate
from controller.core.base.text import clean
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command()
@service_argument
@click.option("--yes", is_flag=True, help="Do not ask, even if the service carries traffic.")
@act_options
@click.pass_obj
def delete(invocation: Invocation, service: str, yes: bool) -> None:
    """Stop serving a service.

    If requests for it were reported in the last seconds, this asks for a confirmation; where there
    is no terminal to ask on, --yes is needed.
    """
    request = pb.DeleteServiceRequest(service=service, reason=invocation.reason, request_id=invocation.request_id)
    with AdminClient(invocation.endpoint()) as client:
        if not yes and (traffic := _traffic(client, service)):
            _confirm(service, traffic)
        response = client.call("Catalog/DeleteService", request, pb.DeleteServiceResponse)
    if invocation.json:
        print_json(plain(response))
    else:
        click.echo(f"{service}: deleted, revision {response.revision}")


def _traffic(client: AdminClient, service: str) -> str:
    """The traffic that proxies reported for it in the last seconds; empty if there was none, or it
    does not exist."""
    try:
        rollout = client.call("Rollouts/GetRollout", pb.GetRolloutRequest(service=service), pb.Rollout)
    except Failure as failure:
        if failure.status is Exit.NOT_FOUND:  # the delete itself says so, or repeats what was done by this request id
            return ""
        raise
    rate = sum(traffic.requests_per_second for traffic in rollout.traffic.values())
    if not rate:
        return ""
    proxies = counted(rollout.proxies_total, "connected proxy", "connected proxies")
    return f"{format_rate(rate)} requests a second on {proxies}"


def _confirm(service: str, traffic: str) -> None:
    """Ask on the terminal. Raises `Failure` if the answer is no, or if there is no terminal."""
    text = f"{clean(service)} carries traffic: {traffic}"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint = "to delete it all the same, add --yes"
        raise Failure(Exit.USAGE, text, code="CONFIRMATION_NEEDED", hint=hint)
    if not click.confirm(f"{text}. Delete it?", err=True):
        raise Failure(Exit.FAILED, f"{clean(service)} was not deleted", code="NOT_CONFIRMED")
