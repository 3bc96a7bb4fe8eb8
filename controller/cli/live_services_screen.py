"""The live screen of `watch` without a service: painted again after each poll, until Ctrl-C."""

import time

from rich.console import Console
from rich.live import Live

from controller.cli.disconnected import Disconnected
from controller.cli.services_poll import ServicesPoll
from controller.cli.text.services_screen import ServicesScreen
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


def paint_services(poll: ServicesPoll, console: Console) -> None:
    """Paint until interrupted, and leave the last screen behind.

    Raises the `Failure` that ends the poll.
    """
    shown: pb.ListServicesResponse | None = None
    notice = ""
    try:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            for response in poll:
                if isinstance(response, Disconnected):
                    notice = f"{response.why}; trying again. Shown is the last known state."
                else:
                    shown, notice = response, ""
                if shown:
                    live.update(ServicesScreen(shown, time.time(), notice), refresh=True)
    finally:
        if shown:
            console.print(ServicesScreen(shown, time.time(), notice))
