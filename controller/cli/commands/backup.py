"""`backup` and `restore`: the store's file, on the machine where it is."""

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, operator, output_option, reason_option
from controller.cli.output import print_json
from controller.cli.server_settings import server_settings, store_option, store_path
from controller.core.base.units import counted

if TYPE_CHECKING:
    from controller.settings import Settings

NEXT = "start the controller, check `haldane list`, then: haldane unfreeze --all --reason TEXT"
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
@click.argument("path", type=FILE, required=False)
@store_option
@reason_option
@output_option
@click.pass_obj
def restore(invocation: Invocation, path: Path | None, store: str | None) -> None:
    """Put the backup PATH in the store's place, frozen, while no controller runs.

    The former store is kept beside it. Nothing moves until you have checked the services and lifted
    the freeze: changes since the backup, rollbacks too, are not in it.

    Without PATH, for a store in etcd: after etcd itself was restored, what it holds now is taken as the
    store, frozen.
    """
    settings = server_settings({"store": store})
    if settings.store.startswith("etcd:"):
        if path:
            hint = "restore etcd by its own means, then give this command without PATH"
            raise Failure(Exit.USAGE, "the store is in etcd, and not in a file", hint=hint)
        _take_restored(invocation, settings)
    elif path is None:
        raise Failure(Exit.USAGE, "PATH is missing: the file of a backup is needed")
    else:
        _put_back(invocation, path, Path(settings.store.partition(":")[2]).expanduser())


def _put_back(invocation: Invocation, path: Path, store: Path) -> None:
    from controller.core.model.store_errors import Unusable
    from controller.store.restore import restore as put_back  # as above

    if not path.exists():
        hint = f"to take the traffic of a service back from its fallback: haldane undivert {path}"
        raise Failure(Exit.NOT_FOUND, f"{path} is not there: the file of a backup is needed", hint=hint)
    try:
        done = put_back(store, path, who=f"{operator()}@localhost", reason=invocation.reason, at=time.time())
    except Unusable as unusable:
        raise Failure(Exit.NOT_POSSIBLE, str(unusable)) from None
    if invocation.json:
        former = str(done.aside) if done.aside else None
        print_json({"file": str(path), "revision": done.revision, "former": former, "backup": asdict(done.backup)})
        return
    click.echo(f"restored {path}: {counted(done.backup.services, 'service')}, revision {done.revision}, all frozen")
    if done.aside:
        click.echo(f"the former store is {done.aside}")
    click.echo(NEXT)


def _take_restored(invocation: Invocation, settings: "Settings") -> None:
    from controller.core.model.store_errors import StoreError, Unusable
    from controller.store.etcd.keys import Keys
    from controller.store.etcd.restored import Taken, take
    from controller.store.etcd.settings import read_address

    address = read_address(settings.store.partition(":")[2])

    async def taken() -> Taken:
        client = settings.etcd.client(address)
        who = f"{operator()}@localhost"
        try:
            return await take(client, Keys(address.prefix), who=who, reason=invocation.reason, at=time.time())
        finally:
            await client.close()

    try:
        done = asyncio.run(taken())
    except Unusable as unusable:
        raise Failure(Exit.NOT_POSSIBLE, str(unusable)) from None
    except StoreError as error:
        raise Failure(Exit.FAILED, str(error), hint="give the command again: what was taken is taken again") from None
    if invocation.json:
        print_json(done._asdict())
        return
    click.echo(
        f"taken as etcd holds it: {counted(done.services, 'service')}, ledger up to line {done.sequence}, "
        f"revision {done.revision}, all frozen"
    )
    click.echo(NEXT)
