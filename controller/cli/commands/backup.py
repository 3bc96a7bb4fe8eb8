"""`backup` and `restore`: the store's file, on the machine where it is."""

import time
from dataclasses import asdict
from pathlib import Path

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, operator, output_option, reason_option
from controller.cli.output import print_json
from controller.cli.server_settings import store_option, store_path
from controller.core.base.units import counted

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("path", type=FILE)
@store_option
@output_option
@click.pass_obj
def backup(invocation: Invocation, path: Path, store: str | None) -> None:
    """Copy the store into the file PATH, also while the controller runs, and verify the copy.

    Runs on the controller's machine, with the controller's settings. PATH is not overwritten.
    """
    from controller.core.model.store_errors import Unusable
    from controller.store.backup import back_up  # with SQLite and the core's ledger: only this needs it

    try:
        contents = back_up(store_path(store), path)
    except Unusable as unusable:
        raise Failure(Exit.FAILED, str(unusable)) from None
    if invocation.json:
        print_json({"file": str(path), **asdict(contents)})
        return
    held = f"{counted(contents.services, 'service')}, {counted(contents.freezes, 'freeze')}"
    click.echo(f"{path}: {held}, revision {contents.revision}, ledger up to line {contents.sequence}, verified")
    click.echo(f"hash of that line: {contents.hash or 'none'}")


@click.command()
@click.argument("path", type=FILE)
@store_option
@reason_option
@output_option
@click.pass_obj
def restore(invocation: Invocation, path: Path, store: str | None) -> None:
    """Put the backup PATH in the store's place, frozen, while no controller runs.

    The former store is kept beside it. Nothing moves until you have checked the services and lifted
    the freeze: changes since the backup, rollbacks too, are not in it.
    """
    from controller.core.model.store_errors import Unusable
    from controller.store.restore import restore as put_back  # as above

    if not path.exists():
        hint = f"to take the traffic of a service back from its fallback: haldane undivert {path}"
        raise Failure(Exit.NOT_FOUND, f"{path} is not there: the file of a backup is needed", hint=hint)
    try:
        done = put_back(
            store_path(store), path, who=f"{operator()}@localhost", reason=invocation.reason, at=time.time()
        )
    except Unusable as unusable:
        raise Failure(Exit.NOT_POSSIBLE, str(unusable)) from None
    if invocation.json:
        former = str(done.aside) if done.aside else None
        print_json({"file": str(path), "revision": done.revision, "former": former, "backup": asdict(done.backup)})
        return
    click.echo(f"restored {path}: {counted(done.backup.services, 'service')}, revision {done.revision}, all frozen")
    if done.aside:
        click.echo(f"the former store is {done.aside}")
    click.echo("start the controller, check `haldane list`, then: haldane unfreeze --all --reason TEXT")
