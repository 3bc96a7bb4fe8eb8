"""The demo: real model servers, a real Envoy and a real load, and three scenarios with checks."""

import os
from pathlib import Path

import click

from controller.cli.invocation import Invocation, output_option

# Before gRPC is imported: its fork handlers can kill a child that is started while a channel is
# open, and the demo starts its children with a hook before exec, which makes them forks.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")


@click.command()
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="Write a picture of it to this file, as SVG."
)
@click.option("--ha", is_flag=True, help="Several controllers over etcd, of which one is killed.")
@output_option
@click.pass_obj
def demo(invocation: Invocation, picture: Path | None, *, ha: bool) -> int:
    """See it work on a real Envoy: a good canary promoted, a bad one rolled back, and a freeze.

    About a minute. With --ha: three controllers over three members of etcd, one killed in the middle
    of a rollout. It needs `etcd` on PATH.

    With -o json the result is one document at the end, and everything else goes to standard error.
    """
    if ha:
        from controller.demo.ha.command import run_ha

        return run_ha(as_json=invocation.json)
    from controller.demo.command import run_demo  # scikit-learn takes a second to load

    return run_demo(picture, as_json=invocation.json)
