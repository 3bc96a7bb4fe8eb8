"""Keeps controllers of different record schemas from writing beside each other.

A store's head names the schema of its records. A controller of an older schema stops at that head, so it neither drops
nor overwrites what it cannot read: its transactions compare the head, which a newer one has written. A controller of a
newer schema writes its first record only once no older one is left, so that those go on until they are replaced.
"""

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from controller.core.model.member import Member, Writes
from controller.core.model.service_state import SCHEMA
from controller.core.model.store_errors import NotWritten
from controller.store.etcd.follower import Follower
from controller.store.etcd.member_records import MemberRecords
from controller.store.etcd.replicated_state import NewerSchema

AGAIN = 1.0
"""Seconds between two questions whether older controllers are left."""

log = structlog.get_logger()


class OlderLeft(NotWritten):
    """Controllers are left that could not read what this one writes. Changes go through them."""

    def __init__(self, older: Iterable[Member]) -> None:
        named = ", ".join(f"{each.name} ({each.admin}, schema {each.records})" for each in older)
        super().__init__(
            f"this controller writes records of schema {SCHEMA}, which others cannot read yet: {named}. "
            "Until they have ended it serves proxies and stores nothing: send it there"
        )


class SchemaGate:
    """Whether this controller may store changes."""

    def __init__(self, members: MemberRecords, follower: Follower) -> None:
        self._members = members
        self._follower = follower

    async def check(self) -> None:
        """`OlderLeft` or `NewerSchema` while it may not. `Lost` without an answer."""
        if self._follower.outdated.is_set():
            self._members.writes = Writes.TOO_OLD
            raise NewerSchema(self._follower.newer_schema)
        older: tuple[Member, ...] = ()
        if self._follower.state.schema < SCHEMA:
            older = (await self._members.roster()).older_than(SCHEMA)
        self._note(older)
        if older:
            raise OlderLeft(older)

    async def opened(self) -> None:
        """Wait until it may. `Lost` without an answer."""
        while True:
            try:
                return await self.check()
            except (OlderLeft, NewerSchema):
                await asyncio.sleep(AGAIN)

    def _note(self, older: Sequence[Member]) -> None:
        before, self._members.writes = self._members.writes, Writes.WAITS if older else Writes.YES
        if self._members.writes is before:
            return
        if older:
            log.warning("waits_for_older_controllers", records=SCHEMA, older=[each.name for each in older])
        else:
            log.info("no_older_controllers", records=SCHEMA)
