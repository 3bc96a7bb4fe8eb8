"""`migrate`: a store moved from a file into etcd, or back, while no controller runs."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controller.cli.failure import Exit, Failure
from controller.cli.invocation import Invocation, operator, output_option, reason_option
from controller.cli.output import print_json
from controller.cli.server_settings import server_settings
from controller.core.base.units import counted

if TYPE_CHECKING:
    from controller.store.migration.contents import Contents
    from controller.store.migration.places import Place


@click.command()
@click.option("--from", "source", required=True, metavar="STORE", help="The store to move: sqlite:PATH or etcd:...")
@click.option("--to", "target", required=True, metavar="STORE", help="Where to: a new file, or an empty prefix.")
@reason_option
@output_option
@click.pass_obj
def migrate(invocation: Invocation, source: str, target: str) -> None:
    """Move a store from a file into etcd, or back, verified, while no controller runs on either.

    STORE is sqlite:PATH or etcd:HOST:PORT,HOST:PORT,...[?prefix=/NAME]; how etcd is reached is in [etcd]
    of the settings file. Everything is frozen, in both stores: check the services, then lift the freeze
    of the new one. If it is interrupted, the target is no store, and the command can be given again.
    """
    from controller.core.model.store_errors import StoreError, Unusable
    from controller.store.migration.migrate import Order
    from controller.store.migration.migrate import migrate as move  # with SQLite, gRPC and the core's ledger

    if source == target:
        raise Failure(Exit.USAGE, "--from and --to are the same store")
    places = _place("--from", source), _place("--to", target)
    order = Order(source, target, who=f"{operator()}@localhost", reason=invocation.reason, at=time.time())
    try:
        moved = asyncio.run(move(*places, order))
    except Unusable as unusable:
        raise Failure(Exit.NOT_POSSIBLE, str(unusable)) from None
    except StoreError as error:
        raise Failure(Exit.FAILED, str(error), hint="nothing was finished: give the command again") from None
    _show(invocation, source, target, moved)


def _place(option: str, store: str) -> "Place":
    """The place that the option names. Raises `Failure`."""
    from controller.store.migration.sqlite_place import SqlitePlace

    try:
        settings = server_settings({"store": store})
    except Failure as failure:
        violations = [replace(v, field=option if v.field == "--store" else v.field) for v in failure.violations]
        raise Failure(failure.status, failure.message, code=failure.code, violations=violations) from None
    kind, _, where = store.partition(":")
    if kind == "sqlite":
        return SqlitePlace(Path(where).expanduser())
    from controller.process.clock import SystemClock
    from controller.store.etcd.settings import read_address
    from controller.store.migration.etcd_place import EtcdPlace

    address = read_address(where)
    return EtcdPlace(lambda: settings.etcd.client(address), address.prefix, SystemClock())


def _show(invocation: Invocation, source: str, target: str, moved: "Contents") -> None:
    sequence, hash_ = moved.last
    if invocation.json:
        print_json(
            {
                "from": source,
                "to": target,
                "revision": moved.view.revision,
                "services": len(moved.view.services),
                "sequence": sequence,
                "hash": hash_,
                "state": moved.state_digest,
            }
        )
        return
    services = counted(len(moved.view.services), "service")
    click.echo(f"moved {services}, revision {moved.view.revision}, ledger up to line {sequence}, all frozen")
    click.echo(f"verified: hash of that line {hash_}, digest of the state {moved.state_digest}")
    click.echo(f"{source} stays as it is, frozen: start no controller on it any more")
    click.echo(f"start the controllers with HALDANE_STORE={target}, check `haldane list`, then:")
    click.echo("haldane unfreeze --all --reason TEXT")
