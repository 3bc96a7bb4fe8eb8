"""`lint`: a service file, checked without a controller."""

import click

from controller.cli.input_files import InvalidFiles, read_text
from controller.cli.invocation import Invocation, output_option
from controller.cli.output import print_json


@click.command()
@click.option("-f", "--file", "path", required=True, metavar="FILE", help="A service file; - for standard input.")
@output_option
@click.pass_obj
def lint(invocation: Invocation, path: str) -> None:
    """Check a service file without a controller: every violation with its line.

    A note is no violation: it says what cannot be known of a service, or who does not get all of it.
    """
    from controller.core.servicefile.service_file import read_service  # pydantic and YAML, slow to load

    linted = read_service(read_text(path))
    if linted.service is None:
        raise InvalidFiles.one(path, linted.violations)
    if invocation.json:
        noted = [{"field": note.field, "message": note.message, "line": note.line} for note in linted.notes]
        print_json({"file": path, "valid": True, "service": linted.service.name, "violations": [], "notes": noted})
        return
    click.echo(f"{path}: {linted.service.name} is valid")
    for note in linted.notes:
        click.echo(f"note: {path}:{note.line}: {note.field}: {note.message}")
