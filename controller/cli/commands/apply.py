"""`apply`: service files, declared to the controller.

Several are checked as one before the first is applied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import click

from controller.cli.admin_client import AdminClient
from controller.cli.failure import Exit, Failure
from controller.cli.input_files import InvalidFiles, expand_folders, read_text
from controller.cli.invocation import Invocation, act_options
from controller.cli.output import plain, print_json
from controller.cli.text.values import format_weights
from controller.core.base.errors import Violation
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

_OF_THE_REQUEST = ("reason", "request_id")
"""Fields of the request that are not in the file."""


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
    with AdminClient(invocation.admin) as client:
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


def _apply(
    client: AdminClient, invocation: Invocation, file: ServiceFile, *, dry_run: bool, request_id: str = ""
) -> pb.ApplyServiceResponse:
    """Apply one file. Raises `Failure`: `InvalidFiles` for what is wrong in the file itself."""
    request = pb.ApplyServiceRequest(
        yaml=file.text,
        reason=invocation.reason,
        request_id=request_id or invocation.request_id,
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
    """Check all files, then apply them in order.

    Raises `Failure`, which says what was applied before it.
    """
    checked = _check_all(client, invocation, files)
    if dry_run:
        return checked
    applied: list[pb.ApplyServiceResponse] = []
    for number, file in enumerate(files):
        # An id is for one request: each file has its own, so that the command can be repeated.
        request_id = f"{invocation.request_id}.{checked[number].service.name}"
        try:
            applied.append(_apply(client, invocation, file, dry_run=False, request_id=request_id))
        except Failure as failure:
            before = ", ".join(response.service.name for response in applied) or "none"
            message = f"{file.path}: {failure.message}; applied before it: {before}"
            located = [(file.path, violation) for violation in failure.violations]
            raise InvalidFiles(message, located, failure.status, failure.code) from None
    return applied


def _check_all(
    client: AdminClient, invocation: Invocation, files: Sequence[ServiceFile]
) -> list[pb.ApplyServiceResponse]:
    """The responses to a dry run of each file.

    Raises `Failure` with everything that is wrong in all of them.
    """
    checked: list[pb.ApplyServiceResponse] = []
    failures: list[tuple[str, Failure]] = []
    for file in files:
        try:
            checked.append(_apply(client, invocation, file, dry_run=True))
        except Failure as failure:
            if failure.status is Exit.UNREACHABLE:
                raise
            failures.append((file.path, failure))
    if failures:
        located = [(path, violation) for path, failure in failures for violation in _violations(failure)]
        first = failures[0][1]
        message = f"nothing was applied: {len(failures)} of {counted(len(files), 'file')} cannot be"
        raise InvalidFiles(message, located, first.status, first.code)
    if clashes := list(_clashes(files)):
        raise InvalidFiles("nothing was applied: the files clash", clashes)
    return checked


def _violations(failure: Failure) -> Sequence[Violation]:
    """What is wrong, as violations: the failure's own, or its message."""
    return failure.violations or [Violation("", failure.message)]


def _clashes(files: Sequence[ServiceFile]) -> Iterator[tuple[str, Violation]]:
    """What keeps two files from being served together: the path of the second, and the clash."""
    from controller.core.control.declaration import declare  # the core, which only several files need
    from controller.core.routing.clashes import find_clashes
    from controller.core.servicefile.service_file import read_service

    declared = []
    for file in files:
        service = read_service(file.text).service
        if service:  # the controller has found it valid
            declared.append((file.path, declare(service, file.text, None)))
    for (path, one), (other_path, other) in combinations(declared, 2):
        texts = [f"declares {one.name} too"] if one.name == other.name else find_clashes([one, other])
        for text in texts:
            yield other_path, Violation("", f"clashes with {path}: {text}")


def _line(response: pb.ApplyServiceResponse, *, dry_run: bool) -> str:
    service = response.service
    done = "would be applied" if dry_run else "applied"
    weights = format_weights(service.weights, service.stable)
    return f"{service.name}: {'unchanged' if response.unchanged else done}, traffic {weights}"
