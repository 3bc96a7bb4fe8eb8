"""Keeps the ledger in etcd short: the oldest lines are exported into files, and what they led to takes their place."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import structlog

from controller.core.model.actor import CONTROLLER
from controller.core.model.change import Change
from controller.core.model.store_errors import Conflict, Unusable
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.keys import MAX_CHECKPOINT, CheckpointRef, Damaged, Keys, packed, unpacked
from controller.store.etcd.ledger_cache import LedgerCache
from controller.store.etcd.transaction import deletion, grouped, leads, put, serves, unchanged
from controller.store.ledger_replay import Checkpoint, LedgerRow
from controller.store.ledger_trimming import export_oldest, trim_change

PART = 1_000_000
"""Bytes of a checkpoint under one key: it holds every service, and etcd takes 1.5 MiB at once."""

log = structlog.get_logger()

Commit = Callable[[Change], Awaitable[object]]


class StoredCheckpoint(NamedTuple):
    """The checkpoint that stands, and when it was written; 0: none was."""

    checkpoint: Checkpoint
    mod_revision: int


class LedgerTrim:
    """Trims by the term's token. In one transaction the checkpoint is replaced and the lines before it are deleted, so
    that a crash at any time leaves a checkpoint and the lines that follow from it."""

    def __init__(self, client: EtcdClient, keys: Keys, cache: LedgerCache, folder: Path) -> None:
        """`folder`, on this machine, gets the exports."""
        self._client = client
        self._keys = keys
        self._cache = cache
        self._folder = folder

    async def trim(self, lines: int, store_id: str, token: int, commit: Commit) -> None:
        """Export so many of the oldest lines, then delete them. The ledger says it by a change that is given to
        `commit`.

        `Conflict`: the term is over, or something else trimmed. `BrokenLedgerError`, `Unreadable`: lines that do not
        follow from one another are never trimmed. OSError if the disk refuses.
        """
        rows = self._cache.oldest_rows(lines)
        before = await read_checkpoint(self._client, self._keys, store_id)
        checkpoint, path = await asyncio.to_thread(export_oldest, rows, before.checkpoint, self._folder)
        # First it is said, then done: what is exported twice is the same file.
        await commit(trim_change(checkpoint, path, who=CONTROLLER))
        ref = await store_parts(self._client, self._keys, checkpoint)
        await self._replace(before, ref, rows, store_id, token)
        self._cache.trim(ref.sequence)
        # Parts of checkpoints before it, also of those that were never completed.
        await self._client.delete(self._keys.checkpoint_parts, self._keys.checkpoint_part(ref.sequence, 0))
        log.info("ledger_trimmed", lines=len(rows), exported=str(path))

    async def _replace(
        self, before: StoredCheckpoint, ref: CheckpointRef, rows: list[LedgerRow], store_id: str, token: int
    ) -> None:
        keys = self._keys
        compares = [
            serves(keys, store_id),
            leads(keys, token),
            unchanged(keys.checkpoint, before.mod_revision),
        ]
        deletions = [
            deletion(keys.line(0), keys.line(ref.sequence + 1)),
            *(deletion(keys.change(row.line.change_id)) for row in rows),
        ]
        operations = grouped([put(keys.checkpoint, ref.dump()), *deletions], beside=len(compares))
        response = await self._client.txn(pb.TxnRequest(compare=compares, success=operations))
        if not response.succeeded:
            raise Conflict(f"the term of token {token} is over, or the ledger was trimmed by another one")


async def read_checkpoint(client: EtcdClient, keys: Keys, store_id: str) -> StoredCheckpoint:
    """The one that stands. `Unusable` if a part of it is missing, `Damaged` if it cannot be read, `Lost` without an
    answer."""
    found = await client.range(keys.checkpoint)
    if not found.kvs:
        return StoredCheckpoint(Checkpoint.empty(store_id), 0)
    ref = CheckpointRef.read(found.kvs[0].value)
    parts = [await client.range(keys.checkpoint_part(ref.sequence, n)) for n in range(ref.parts)]
    if not all(part.kvs for part in parts):
        raise Unusable(f"a part of the checkpoint after line {ref.sequence} is missing")
    text = await asyncio.to_thread(_joined, [part.kvs[0].value for part in parts])
    checkpoint = await asyncio.to_thread(Checkpoint.load, store_id, ref.sequence, ref.hash, text)
    return StoredCheckpoint(checkpoint, found.kvs[0].mod_revision)


def _joined(parts: Iterable[bytes]) -> str:
    try:
        return unpacked(b"".join(parts), MAX_CHECKPOINT)
    except (ValueError, zlib.error) as error:
        raise Damaged("a checkpoint of the ledger", error) from error


async def store_parts(client: EtcdClient, keys: Keys, checkpoint: Checkpoint) -> CheckpointRef:
    """Store the parts of a checkpoint, which count once the reference to them is stored. `Lost` without an answer."""
    data = await asyncio.to_thread(lambda: packed(checkpoint.dump()))
    chain = checkpoint.chain
    parts = [data[start : start + PART] for start in range(0, len(data), PART)]
    for number, part in enumerate(parts):
        await client.put(keys.checkpoint_part(chain.last, number), part)
    return CheckpointRef(chain.last, chain.hash, len(parts))
