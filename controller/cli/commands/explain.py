"""`explain`: why a rollout stands where it stands, or ended as it did."""

import os
import time

import click

from controller.cli.admin_client import AdminClient
from controller.cli.invocation import Invocation, client_options
from controller.cli.output import plain, print_json
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

WIDTH = 100
"""Columns where the output is no terminal and COLUMNS does not say."""
NARROWEST = 40
"""Columns at least, whatever COLUMNS says: in fewer, words fall into letters, and in none there is nothing."""


@click.command()
@click.argument("service")
@click.option("--from", "sequence", type=click.IntRange(min=0), default=0, help="An earlier rollout: one of its lines.")
@client_options
@click.pass_obj
def explain(call: Invocation, service: str, sequence: int) -> None:
    """Explain a rollout: which evidence there is, how it grew, which channel decided, and every decision."""
    with AdminClient(call.admin) as client:
        request = pb.ExplainRolloutRequest(service=service, sequence=sequence)
        told = client.call("Rollouts/ExplainRollout", request, pb.Explanation)
    if call.json:
        print_json(plain(told))
        return
    from rich.console import Console  # for people alone

    from controller.cli.text.explanation import explained

    console = Console(highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = WIDTH
    console.width = max(console.width, NARROWEST)
    with console.capture() as drawn:
        console.print(explained(told, time.time()))
    for line in drawn.get().splitlines():
        click.echo(line.rstrip())
