"""`apply`: service files, declared to the controller.

Several are checked as one before the first is applied.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import click

from controller.admin import MAX_REQUEST
from controller.cli.admin_client import DEADLINE, AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.input_files import InvalidFiles, expand_folders, read_text
from controller.cli.invocation import Invocation, act_options
from controller.cli.output import plain, print_json
from controller.cli.text.values import format_weights
from controller.core.base.errors import Violation
from controller.core.base.text import clean
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

_OF_THE_REQUEST = ("reason", "request_id")
"""Fields of the request that are not in the file."""

_FILE = re.compile(r"files\[(\d+)\]")
"""How the controller names one of several files."""

SECONDS_EACH = 0.05
"""Seconds longer for each of several files."""


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file to apply."""

    path: str
    text: str


@click.command()
@click.option(
    "-f",
    "--file",
    "paths",
    required=True,
    multiple=True,
    metavar="FILE|FOLDER",
    help="A service file, - for standard input, or a folder: every .yaml and .yml file in it. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Let the controller check it; store nothing.")
@act_options
@click.pass_obj
def apply(invocation: Invocation, paths: tuple[str, ...], dry_run: bool) -> None:
    """Declare or change services. Never moves traffic between versions.

    Several files are checked as one first: if one is wrong, or two of them clash, none is applied.
    Then they are applied in order.
    """
    if paths.count("-") > 1:
        raise click.UsageError("-f - twice: standard input can be read once")
    files = [ServiceFile(path, read_text(path)) for path in expand_folders(paths)]
    with AdminClient(invocation.endpoint()) as client:
        if len(files) == 1:
            responses = [_apply(client, invocation, files[0], dry_run=dry_run)]
        else:
            responses = _apply_all(client, invocation, files, dry_run=dry_run)
    if invocation.json:
        one = len(files) == 1 and files[0].path == paths[0]
        print_json(plain(responses[0]) if one else {"applied": [plain(response) for response in responses]})
        return
    for response in responses:
        click.echo(_line(response, dry_run=dry_run))
        for note in response.notes:
            click.echo(f"note: {response.service.name}: {clean(note)}", err=True)


def _apply(client: AdminClient, invocation: Invocation, file: ServiceFile, *, dry_run: bool) -> pb.ApplyServiceResponse:
    """Apply one file. Raises `Failure`: `InvalidFiles` for what is wrong in the file itself."""
    request = pb.ApplyServiceRequest(
        yaml=file.text,
        reason=invocation.reason,
        request_id=invocation.request_id,
        dry_run=dry_run,
    )
    try:
        return client.call("Catalog/ApplyService", request, pb.ApplyServiceResponse)
    except Failure as failure:
        if any(v.line or v.field not in _OF_THE_REQUEST for v in failure.violations):
            raise InvalidFiles.one(file.path, failure.violations) from None
        raise


def _apply_all(
    client: AdminClient, invocation: Invocation, files: Sequence[ServiceFile], *, dry_run: bool
) -> list[pb.ApplyServiceResponse]:
    """Apply several files at once, or none if one of them cannot be.

    Raises `InvalidFiles` with everything that is wrong in all of them, or what stands if one is refused later.
    """
    request = pb.ApplyServicesRequest(
        yaml=[file.text for file in files],
        reason=invocation.reason,
        request_id=invocation.request_id,
        dry_run=dry_run,
    )
    if request.ByteSize() > MAX_REQUEST:
        message = f"{counted(len(files), 'file')} of {request.ByteSize()} bytes: at most {MAX_REQUEST} at once"
        raise Failure(Exit.USAGE, message, code="INVALID")
    deadline = DEADLINE + SECONDS_EACH * len(files)
    try:
        response = client.call("Catalog/ApplyServices", request, pb.ApplyServicesResponse, deadline)
    except Failure as failure:
        located = [_located(violation, files) for violation in failure.violations]
        wrong = {path for path, _ in located} - {""}
        if not wrong:
            raise
        message = f"nothing was applied: {len(wrong)} of {counted(len(files), 'file')} cannot be"
        raise InvalidFiles(message, located, failure.status, failure.code) from None
    return list(response.applied)


def _located(violation: Violation, files: Sequence[ServiceFile]) -> tuple[str, Violation]:
    """A violation with the path of its file, which the controller knows by its number."""
    match = _FILE.match(violation.field)
    message = _FILE.sub(lambda found: files[int(found[1])].path, violation.message)
    if match is None:
        return "", Violation(violation.field, message, violation.line)
    return files[int(match[1])].path, Violation(
        violation.field[match.end() :].removeprefix("."), message, violation.line
    )


def _line(response: pb.ApplyServiceResponse, *, dry_run: bool) -> str:
    service = response.service
    done = "would be applied" if dry_run else "applied"
    weights = format_weights(service.weights, service.stable)
    return f"{service.name}: {'unchanged' if response.unchanged else done}, traffic {weights}"
