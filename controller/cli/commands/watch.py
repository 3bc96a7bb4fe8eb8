"""`watch`: one rollout, or all services, live."""

import os
import signal
import sys

import click

from controller.cli.admin_client import AdminClient
from controller.cli.disconnected import Disconnected
from controller.cli.invocation import Invocation, client_options
from controller.cli.reconnecting_streams import ReconnectingStreams
from controller.cli.rollout_printer import RolloutPrinter
from controller.cli.services_poll import ServicesPoll
from controller.cli.services_printer import ServicesPrinter
from controller.cli.shell_completion import complete_services
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


@click.command()
@click.argument("service", default="", shell_complete=complete_services)
@client_options
@click.pass_obj
def watch(invocation: Invocation, service: str) -> None:
    """Watch a rollout, or without SERVICE all services, one line each. Ctrl-C ends it.

    On a terminal this is a live screen; elsewhere it prints a line for each change.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM restores the terminal too
    on_screen = not invocation.json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    try:
        with AdminClient(invocation.endpoint()) as client:
            if service:
                _watch_one(client, service, on_screen=on_screen, json=invocation.json)
            else:
                _watch_all(client, on_screen=on_screen, json=invocation.json)
    except KeyboardInterrupt:
        return


def _watch_one(client: AdminClient, service: str, *, on_screen: bool, json: bool) -> None:
    with ReconnectingStreams() as streams:
        request = pb.WatchRolloutRequest(service=service)
        streams.add(lambda _last: client.stream("Rollouts/WatchRollout", request, pb.Rollout))
        if on_screen:
            from rich.console import Console  # only for the screen

            from controller.cli.live_screen import LiveScreen

            LiveScreen(client, streams, service).paint(Console())
        printer = RolloutPrinter(json)
        while True:
            message = streams.next()
            if isinstance(message, pb.Rollout | Disconnected):
                printer.print(message)


def _watch_all(client: AdminClient, *, on_screen: bool, json: bool) -> None:
    poll = ServicesPoll(client)
    if on_screen:
        from rich.console import Console  # only for the screen

        from controller.cli.live_services_screen import paint_services

        paint_services(poll, Console())
    printer = ServicesPrinter(json)
    for response in poll:
        printer.print(response)
