"""`explain`: why a rollout stands where it stands, or ended as it did."""

import os
import time

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.cli.shell_completion import service_argument
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

WIDTH = 100
"""Columns where the output is no terminal and COLUMNS is not set."""
NARROWEST = 40
"""Columns at least, whatever COLUMNS says: in fewer, words fall apart."""


@click.command()
@service_argument
@click.option(
    "--from", "sequence", type=click.IntRange(min=0), default=0, help="Explain the earlier rollout of this ledger line."
)
@client_options
@click.pass_obj
def explain(invocation: Invocation, service: str, sequence: int) -> None:
    """Explain a rollout: the evidence, how it grew, which channel decided, and every decision."""
    with AdminClient(invocation.endpoint()) as client:
        request = pb.ExplainRolloutRequest(service=service, sequence=sequence)
        explanation = client.call("Rollouts/ExplainRollout", request, pb.Explanation)
    if invocation.json:
        print_json(plain(explanation))
        return
    from rich.console import Console  # only for text

    from controller.cli.text.explanation import render_explanation

    console = Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = WIDTH
    console.width = max(console.width, NARROWEST)
    with console.capture() as rendered:
        console.print(render_explanation(explanation, time.time()))
    for line in rendered.get().splitlines():
        click.echo(line.rstrip())
