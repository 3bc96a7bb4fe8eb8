"""`ledger`: the exports of the ledger, verified and imported without a controller."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, output_option
from controller.cli.output import print_json
from controller.cli.server_settings import store_option, store_path
from controller.core.base.units import counted

if TYPE_CHECKING:
    from controller.store.ledger_replay import LedgerRow

PATHS = "FILE|FOLDER..."


@click.group()
def ledger() -> None:
    """Work on exports of the ledger, without a controller."""


@ledger.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar=PATHS)
@output_option
@click.pass_obj
def verify(invocation: Invocation, paths: Sequence[Path]) -> None:
    """Verify exports: no line or effect was changed, added or removed between the first and the
    last.

    Files are taken in the order of their lines, whatever the order in which they are given.
    """
    from controller.store.ledger_export import verify_rows  # with the core's ledger: only this needs it

    files = _files(paths)
    chain = verify_rows(_rows(files))
    facts = {"files": len(files), "lines": chain.lines, "first": chain.first, "last": chain.last, "hash": chain.hash}
    if chain.broken is not None:
        message = f"the exports are broken at line {chain.broken}: {chain.why}"
        hint = f"whole before it: {counted(chain.lines, 'line')}" if chain.lines else ""
        raise Failure(Exit.FAILED, message, code="BROKEN", facts={**facts, "broken": chain.broken}, hint=hint)
    if invocation.json:
        print_json({"valid": True, **facts})
        return
    lines = f"{counted(chain.lines, 'line')} in {counted(len(files), 'file')}"
    click.echo(f"the exports are whole: {lines}, {chain.first} to {chain.last}, last hash {chain.hash}")


@ledger.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar=PATHS)
@store_option
@output_option
@click.pass_obj
def import_(invocation: Invocation, paths: Sequence[Path], store: str | None) -> None:
    """Bring exported lines back into the store for reading, while no controller runs.

    `haldane events` lists them until the ledger is trimmed the next time. Only what leads, verified
    and without a gap, to the first line in the store is imported.
    """
    from controller.core.model.store_errors import Unusable
    from controller.store.ledger_import import import_rows  # with SQLite and the core's ledger

    rows = list(_rows(_files(paths)))
    try:
        lines = import_rows(store_path(store), rows)
    except Unusable as unusable:
        raise Failure(Exit.NOT_POSSIBLE, str(unusable)) from None
    if invocation.json:
        print_json({"imported": lines})
    else:
        click.echo(f"imported {counted(lines, 'line')}" if lines else "the store has all of these lines already")


def _files(paths: Sequence[Path]) -> list[Path]:
    """The exports among the paths, in the order of their lines. Raises `Failure` if there is none."""
    from controller.store.ledger_export import exports_in

    given = {path for path in paths if path.is_file()}
    named = [export for path in paths for export in exports_in(path if path.is_dir() else path.parent)]
    exports = {export.path: export for export in named if export.path in given or export.path.parent in paths}
    if unnamed := given - exports.keys():
        raise Failure(Exit.USAGE, f"{min(unnamed)} is no export of a ledger: its name is not FIRST-LAST-HASH.jsonl")
    if not exports:
        raise Failure(Exit.NOT_FOUND, f"there is no export of a ledger in {', '.join(map(str, paths))}")
    return [export.path for export in sorted(exports.values(), key=lambda export: (export.first, export.last))]


def _rows(files: Sequence[Path]) -> Iterator["LedgerRow"]:
    """The rows of these files. Raises `Failure` for one that cannot be read."""
    from controller.store.ledger_export import read_export

    for file in files:
        try:
            with file.open(encoding="ascii") as lines:
                yield from read_export(lines)
        except (OSError, ValueError) as error:
            raise Failure(Exit.FAILED, f"{file}: {error}", code="BROKEN") from None
