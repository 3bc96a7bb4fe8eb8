"""Copies of the store's file, made while a controller uses it, and what makes one fit to be restored."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from controller.core.model.store_errors import Unusable
from controller.store import queries
from controller.store.durable_files import sync_file, sync_folder
from controller.store.ledger_replay import BrokenLedgerError, replay
from controller.store.records import Unreadable
from controller.store.schema import prepare, read_schema
from controller.store.sqlite_file import decode

PATIENCE = 10.0
"""Seconds to wait for another program that has the file to itself."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a sound file of the store holds: up to which line of the ledger, and the hash of that line."""

    store_id: str
    revision: int
    sequence: int
    hash: str
    trimmed: int
    """The last line of the ledger that is no longer in it, but in an export; 0 if all are in it."""
    services: int
    freezes: int


def back_up(store: Path, target: Path) -> Contents:
    """Copy the store's file as it is at one moment, whether a controller uses it or not; durable once this returns.

    `Unusable`: there is no store, the target exists already, or the copy is not sound; no target is left then.
    """
    if not store.is_file():
        raise Unusable(f"{store} is not there: nothing to back up")
    partial = target.with_name(target.name + ".partial")
    try:
        with _reserved(target):
            try:
                copy(store, partial)
                contents = inspect(partial)
                sync_file(partial)
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)
        sync_folder(target.parent)
    except FileExistsError:
        raise Unusable(f"{target} exists already, and is not overwritten: choose another name") from None
    except OSError as error:
        raise Unusable(f"{target} cannot be written: {error.strerror}") from error
    return contents


def copy(source: Path, target: Path) -> None:
    """Copy a database into a new file of its own, which needs no other file beside it. `Unusable` if that fails."""
    try:
        with contextlib.closing(_open(source)) as db, contextlib.closing(sqlite3.connect(target)) as new:
            os.chmod(target, 0o600)
            db.backup(new)
            new.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise Unusable(f"{source} cannot be copied: {error}") from error


def inspect(path: Path) -> Contents:
    """What a file of the store holds. `Unusable` if it is not sound, or this version cannot read it.

    The file must be whole, every record readable, and the ledger must lead to exactly the state that is stored.
    """
    try:
        with contextlib.closing(_open(path)) as db, contextlib.closing(sqlite3.connect(":memory:")) as copied:
            db.backup(copied)
            return _inspect(copied)
    except Unusable as unusable:
        raise Unusable(f"{path} {unusable}") from None
    except sqlite3.Error as error:
        raise Unusable(f"{path} cannot be read: {error}") from error


def _inspect(db: sqlite3.Connection) -> Contents:
    if not read_schema(db):
        raise Unusable("is no store: it is empty")
    db.isolation_level, db.text_factory = None, decode
    found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise Unusable(f"is corrupt: {found.splitlines()[-1]}")
    prepare(db)
    view = queries.read_view(db)
    for service, why in view.broken.items():
        raise Unusable(f"has a record that cannot be read, of the service {service}: {why}")
    try:
        checkpoint = queries.read_checkpoint(db, view.store_id)
        replayed = replay(queries.oldest_rows(db, -1), checkpoint)
    except (BrokenLedgerError, Unreadable) as error:
        raise Unusable(f"has a broken ledger: {error}") from error
    if replayed.view != view:
        raise Unusable("does not hold what its ledger says")
    chain = replayed.chain
    return Contents(
        view.store_id,
        view.revision,
        chain.last,
        chain.hash,
        checkpoint.chain.last,
        len(view.services),
        len(view.freezes),
    )


def _open(path: Path) -> sqlite3.Connection:
    """A connection that only reads. It may write, since one that may not leaves files of its own beside the file."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=PATIENCE)
    db.execute("PRAGMA query_only = ON")
    return db


@contextlib.contextmanager
def _reserved(target: Path) -> Iterator[None]:
    """Take the name, so that nothing that appears under it meanwhile is overwritten; give it back on an error."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise
