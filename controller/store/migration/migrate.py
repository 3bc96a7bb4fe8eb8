"""The migration: the source is frozen, copied, and compared with the copy; only then can the copy be used.

At no moment can two controllers decide. The source is in use by nobody, frozen before it is read, and stays frozen; the
target is no store until it is whole, and then holds the same freeze, which an operator lifts.
"""

import uuid
from typing import NamedTuple

from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act, Freeze, Mode
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.ledger_line import Entry
from controller.core.model.store_errors import Unusable
from controller.store.migration.contents import Contents
from controller.store.migration.places import Place, Source


class Order(NamedTuple):
    """What is asked for: from where to where, as people name the places; by whom, why, and when (Unix seconds)."""

    source: str
    target: str
    who: str
    reason: str
    at: float

    @property
    def freeze(self) -> Freeze:
        """The freeze under which it is done."""
        return Freeze(scope=ALL, reason=f"migrated to {self.target}", who=self.who, since=self.at)


async def migrate(source: Place, target: Place, order: Order) -> Contents:
    """Move everything; what was moved. The source is left as it is, frozen.

    `Unusable`: one of the two cannot be used, or the copy is not like the source. `StoreLost`: a store does not answer.
    Whatever is raised, the target is no store, and the migration can be done again.
    """
    async with source.source() as present, target.target() as new:
        (await present.read()).check()
        contents = await _frozen(present, order)
        await new.write(contents)
        copied = await new.read()
        copied.check()
        if differences := contents.differences(copied):
            raise Unusable(f"the copy differs from the source: {', '.join(differences)}. It cannot be used")
        await present.check_unused()
        await new.finish()
    return contents


async def _frozen(source: Source, order: Order) -> Contents:
    """Freeze everything, unless a migration to the same place that was interrupted has done it: what is stored then."""
    contents = await source.read()
    freeze = order.freeze
    known = ((each.scope, each.mode, each.reason) for each in contents.view.freezes)
    if (ALL, Mode.FREEZE, freeze.reason) in known:
        return contents
    entry = Entry(
        kind=LedgerKind.STORE_MIGRATED,
        services=(ALL,),
        who=order.who,
        why=order.reason or freeze.reason,
        details={"from": order.source, "to": order.target, "store": contents.view.store_id},
    )
    await source.command(Change(uuid.uuid4().hex, entry.kind, Act.RECORD, entry, freeze=(freeze,)))
    return await source.read()
