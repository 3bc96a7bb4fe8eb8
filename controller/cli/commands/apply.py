"""`lint`, `apply`, `delete`: what is declared."""

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Failure
from controller.cli.input_files import not_valid, text_of
from controller.cli.invocation import Invocation, act_options, output_option
from controller.cli.output import plain, print_json
from controller.cli.text.lines import weights
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

file_option = click.option("-f", "--file", "path", required=True, metavar="FILE", help="A service file; - for stdin.")

_OF_THE_REQUEST = ("reason", "request_id")
"""Fields of an apply that are not in the file."""


@click.command()
@file_option
@output_option
@click.pass_obj
def lint(call: Invocation, path: str) -> None:
    """Check a service file without a controller: every violation with its line."""
    from controller.core.servicefile.service_file import (
        read_service,  # pydantic and YAML, which only this command needs
    )

    linted = read_service(text_of(path))
    if linted.service is None:
        raise not_valid(path, linted.violations)
    if call.json:
        print_json({"file": path, "valid": True, "service": linted.service.name, "violations": []})
    else:
        click.echo(f"{path}: {linted.service.name} is valid")


@click.command()
@file_option
@click.option("--dry-run", is_flag=True, help="Let the controller check it; store nothing.")
@act_options
@click.pass_obj
def apply(call: Invocation, path: str, dry_run: bool, reason: str, request_id: str) -> None:
    """Declare or change a service. Never moves traffic between versions."""
    request = pb.ApplyServiceRequest(yaml=text_of(path), reason=reason, request_id=request_id, dry_run=dry_run)
    with AdminClient(call.admin) as client:
        try:
            answer = client.ask("Catalog/ApplyService", request, pb.ApplyServiceResponse)
        except Failure as failure:
            of_file = any(v.line or v.field not in _OF_THE_REQUEST for v in failure.violations)
            raise not_valid(path, failure.violations) if of_file else failure from None
    if call.json:
        print_json(plain(answer))
        return
    done = "would be applied" if dry_run else "applied"
    click.echo(
        f"{answer.service.name}: {'unchanged' if answer.unchanged else done}, "
        f"traffic {weights(answer.service.weights, answer.service.stable)}"
    )


@click.command()
@click.argument("service")
@act_options
@click.pass_obj
def delete(call: Invocation, service: str, reason: str, request_id: str) -> None:
    """Stop serving a service."""
    request = pb.DeleteServiceRequest(service=service, reason=reason, request_id=request_id)
    with AdminClient(call.admin) as client:
        answer = client.ask("Catalog/DeleteService", request, pb.DeleteServiceResponse)
    if call.json:
        print_json(plain(answer))
    else:
        click.echo(f"{service}: deleted, revision {answer.revision}")
