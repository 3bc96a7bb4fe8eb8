"""All services printed as they change."""

import time

import click

from controller.cli.disconnected import Disconnected
from controller.cli.output import print_json, service_document
from controller.cli.rollout_printer import RolloutPrinter
from controller.cli.text.lines import rollout_line
from controller.cli.text.service_lines import service_rollout
from controller.cli.text.values import format_time
from controller.core.base.text import clean
from controller.pb.haldane.admin.v1 import admin_pb2 as pb


class ServicesPrinter:
    """Prints a line for each service, and again whenever more than its figures has changed."""

    def __init__(self, json: bool) -> None:
        self._json = json
        self._printers: dict[str, RolloutPrinter] = {}
        self._disconnected = False

    def print(self, response: pb.ListServicesResponse | Disconnected) -> None:
        """Print what has changed."""
        if isinstance(response, Disconnected):
            if not self._disconnected:
                click.echo(f"{response.why}; trying again", err=True)
            self._disconnected = True
            return
        if self._disconnected:
            click.echo("the controller is back", err=True)
        self._disconnected = False
        for name in sorted(self._printers.keys() - {service.name for service in response.services}):
            del self._printers[name]
            self._print_line({"service": name, "deleted": True}, f"{clean(name)}: deleted")
        for service in response.services:
            printer = self._printers.setdefault(service.name, RolloutPrinter(repeat_after=float("inf")))
            if printer.is_due(service_rollout(service)):
                self._print_line(service_document(service), rollout_line(service_rollout(service)))

    def _print_line(self, document: dict[str, object], line: str) -> None:
        if self._json:
            print_json(document)
        else:
            click.echo(f"{format_time(time.time(), time.time())} {line}")
