"""A backup in the place of the store: verified first, and frozen, so that it moves nothing by itself."""

import contextlib
import os
import sqlite3
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Freeze
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import Unusable
from controller.store import queries
from controller.store.backup import Contents, copy, inspect
from controller.store.durable_files import sync_file, sync_folder
from controller.store.file_lock import FileLock
from controller.store.ledger_export import exports_in
from controller.store.sqlite_file import connect
from controller.store.store_files import StoreFiles

RESTORED = "restored"
"""The reason of the freeze."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, at which revision it goes on, and where the former store is, if there was one."""

    backup: Contents
    revision: int
    aside: Path | None


def restore(store: Path, backup: Path, *, who: str, reason: str, at: float) -> Restored:
    """Put a verified copy of the backup in the store's place, frozen, with a line in its ledger that says so.

    It gets an id of its own, so that proxies are served it at once, whatever they have seen of the former store. That
    one is kept beside it, with the exports of the ledger that the backup does not know of. `at` is Unix seconds.
    `Unusable`: the backup is not sound, a controller uses the store, or the disk refuses; the store is as it was.
    """
    contents, store = inspect(backup), store.resolve()
    prepared = store.with_name(store.name + ".restoring")
    try:
        store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock.take(store)
        try:
            if store.exists():
                StoreFiles(store).close()  # raises if a controller has it under another name
            prepared.unlink(missing_ok=True)
            copy(backup, prepared)
            revision = _freeze(prepared, _restoring(backup, contents, who, reason, at), at)
            sync_file(prepared)
            aside = _set_aside(store, contents, at)
            os.replace(prepared, store)
            sync_folder(store.parent)
        finally:
            prepared.unlink(missing_ok=True)
            lock.release()
    except (OSError, sqlite3.Error) as error:
        raise Unusable(f"{store} cannot be replaced: {error}") from error
    return Restored(contents, revision, aside)


def _restoring(backup: Path, contents: Contents, who: str, reason: str, at: float) -> Change:
    entry = Entry(
        kind=LedgerKind.STORE_RESTORED,
        services=(ALL,),
        who=who,
        why=reason or f"restored from {backup}",
        details={"file": str(backup), "store": contents.store_id, "through": contents.sequence, "hash": contents.hash},
    )
    freeze = Freeze(scope=ALL, reason=RESTORED, who=who, since=at)
    return Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry, freeze=(freeze,))


def _freeze(path: Path, change: Change, at: float) -> int:
    """Apply the change to the file at that path under a new id and a new term: the revision that it leads to."""
    with contextlib.closing(connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE store SET id = ?, epoch = epoch + 1", (str(uuid.uuid4()),))
        revision, _ = queries.apply(db, change, None, at, queries.read_view(db))
        db.execute("COMMIT")
    return revision


def _set_aside(store: Path, contents: Contents, at: float) -> Path | None:
    """Give the former store another name too, and take away what would be read as part of the restored one."""
    if not store.exists():
        return None
    aside = store.with_name(f"{store.name}.before-restore-{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}")
    log = store.with_name(store.name + "-wal")
    # What is only in the log gets into the file; a file that is too damaged for that keeps its log.
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    os.link(store, aside)
    if log.exists():
        log.rename(aside.with_name(aside.name + "-wal"))
    store.with_name(store.name + "-shm").unlink(missing_ok=True)
    _set_exports_aside(store.with_name(store.name + "-ledger"), aside.with_name(aside.name + "-ledger"), contents)
    return aside


def _set_exports_aside(folder: Path, aside: Path, contents: Contents) -> None:
    """Move the exports of lines that the restored ledger still has, or that it never had."""
    for export in exports_in(folder):
        if export.last > contents.trimmed:
            aside.mkdir(exist_ok=True, mode=0o700)
            export.path.rename(aside / export.path.name)
