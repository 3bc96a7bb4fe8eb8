"""The ledger as a replica has read it: lines never change, so each is read from etcd once."""

import asyncio
import itertools
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import structlog

from controller.core.model.freeze import ALL
from controller.core.model.ledger_line import LedgerLine
from controller.pb.haldane.etcd.v3 import etcd_pb2 as pb
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.keys import CheckpointRef, Keys
from controller.store.etcd.replicated_state import read_head
from controller.store.etcd.stored_row import line_of, row_of, scope_of
from controller.store.ledger_replay import LedgerRow

PAGE = 500
"""Lines read at once."""
TURN = 50
"""Lines decoded between two turns of others."""

log = structlog.get_logger()


class _Kept(NamedTuple):
    sequence: int
    services: tuple[str, ...]
    value: bytes


class LedgerCache:
    """The lines that were read, oldest first, as they are stored."""

    def __init__(self, client: EtcdClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._lines: list[_Kept] = []
        self._reading = asyncio.Lock()

    async def read(self) -> None:
        """Read what is new, and forget what was trimmed. `Damaged` if head or checkpoint cannot be read, `Lost` without
        an answer."""
        async with self._reading:  # two at once would read the same lines
            (head,) = await self._client.snapshot([self._keys.head])
            last = read_head(head.value).end.sequence if head else 0
            while (found := await self._page(last)).kvs:
                for kv in found.kvs:
                    number = kv.key.rpartition(b"/")[2]
                    if number.isdigit():
                        self._lines.append(_Kept(int(number), scope_of(kv.value), kv.value))
                if not found.more:
                    await self._forget_trimmed()
                    return

    async def _page(self, last: int) -> pb.RangeResponse:
        """Up to the ledger's last line: what stands behind it is none, and would hide those that come."""
        after = self._lines[-1].sequence if self._lines else 0
        return await self._client.range(self._keys.line(after + 1), self._keys.line(last + 1), limit=PAGE)

    async def _forget_trimmed(self) -> None:
        """Whoever decides has trimmed the ledger for all."""
        checkpoint = await self._client.range(self._keys.checkpoint)
        if checkpoint.kvs:
            self.trim(CheckpointRef.read(checkpoint.kvs[0].value).sequence)

    async def lines(self, service: str, after: int, limit: int) -> list[LedgerLine]:
        """Lines with sequence > `after`, oldest first: of all (""), or those that concern one service. A thousand take
        some 50 ms, in which others have their turns."""
        found: list[LedgerLine] = []
        for kept in self._after(after):
            if len(found) == limit:
                break
            concerns = not service or service in kept.services or ALL in kept.services
            if concerns and (line := line_of(kept.value)):
                found.append(line)
                if not len(found) % TURN:
                    await asyncio.sleep(0)
        return found

    def oldest_rows(self, count: int) -> list[LedgerRow]:
        """The oldest rows, without those that cannot be read: verification finds the chain broken there."""
        rows = (row_of(kept.value) for kept in self._lines[:count])
        return [row for row in rows if row]

    def __len__(self) -> int:
        return len(self._lines)

    def trim(self, through: int) -> None:
        """Forget the lines up to that sequence."""
        self._lines = [kept for kept in self._lines if kept.sequence > through]

    def _after(self, after: int) -> Iterator[_Kept]:
        start = bisect_right(self._lines, after, key=lambda kept: kept.sequence)
        return itertools.islice(self._lines, start, None)
