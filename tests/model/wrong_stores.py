"""Stores that are wrong in one way each: what the mutants are made from, beside wrong decisions and wrong streams."""

from dataclasses import replace

from controller.core.model.change import Change
from controller.core.model.freeze import Act, Freeze
from controller.ports.clock import Clock
from controller.store.memory import MemoryStore


class NoFreezeCheck(MemoryStore):
    """The commit does not ask for freezes."""

    async def commit(self, change: Change, token: int) -> int:
        return await super().commit(replace(change, act=Act.RECORD), token)

    async def command(self, change: Change) -> int:
        return await super().command(replace(change, act=Act.RECORD))


class NoTokenCheck(MemoryStore):
    """The commit does not compare the token."""

    async def commit(self, change: Change, token: int) -> int:
        return await super().command(change)


class NoRevisionCheck(MemoryStore):
    """The commit does not compare the record's revision."""

    async def commit(self, change: Change, token: int) -> int:
        return await super().commit(await self._as_if_read(change), token)

    async def command(self, change: Change) -> int:
        return await super().command(await self._as_if_read(change))

    async def _as_if_read(self, change: Change) -> Change:
        present = (await self.load()).services.get(change.service)
        return replace(change, expects=present.revision if present else 0) if change.state else change


class NoIdCheck(MemoryStore):
    """A repeated change is applied again."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._applied = _Forgetful()


class _Forgetful(dict):  # type: ignore[type-arg]
    def get(self, key: object, default: object = None) -> object:
        return None


class LiftsAnyFreeze(MemoryStore):
    """In the place of a freeze that is gone, one that the scope has by now is lifted, though it was never read."""

    async def command(self, change: Change) -> int:
        there = (await self.load()).freezes
        newer = {f.scope: f for f in there}
        lift: tuple[Freeze, ...] = tuple(f if f in there else newer.get(f.scope, f) for f in change.lift)
        return await super().command(replace(change, lift=lift))


class LosesTheLine(MemoryStore):
    """Some changes leave no line in the ledger."""

    async def commit(self, change: Change, token: int) -> int:
        revision = await super().commit(change, token)
        if revision % 5 == 0 and self._lines[-1].revision == revision:
            self._lines.pop()
        return revision


class FreezesOneAlone(MemoryStore):
    """A freeze of all covers no service: scopes are compared and no more."""

    async def commit(self, change: Change, token: int) -> int:
        return await super().commit(await self._past_all(change), token)

    async def _past_all(self, change: Change) -> Change:
        named = {f.scope for f in (await self.load()).freezes}
        return change if change.service in named else replace(change, act=Act.RECORD)


class StopsForce(MemoryStore):
    """A forced rollback is one like any other."""

    async def command(self, change: Change) -> int:
        return await super().command(replace(change, act=Act.ROLLBACK) if change.act is Act.FORCED_ROLLBACK else change)


class HoldsRollbacks(MemoryStore):
    """A hold stops what a freeze does."""

    async def command(self, change: Change) -> int:
        return await super().command(replace(change, act=Act.ADVANCE) if change.act is Act.ROLLBACK else change)


class FreezesEndpoints(MemoryStore):
    """A freeze stops files too."""

    async def command(self, change: Change) -> int:
        applied = change.entry.kind == "service_applied"
        return await super().command(replace(change, act=Act.ADVANCE) if applied else change)


class TellsTheFirstWeights(MemoryStore):
    """Lines say that nothing moved."""

    async def commit(self, change: Change, token: int) -> int:
        entry = change.entry.model_copy(update={"weights_after": change.entry.weights_before})
        return await super().commit(replace(change, entry=entry), token)


class AnswersForAnother(MemoryStore):
    """Whatever is sent under a used id is taken for done."""

    async def command(self, change: Change) -> int:
        earlier = self._applied.get(change.id)
        return await super().command(replace(change, fingerprint=earlier.fingerprint) if earlier else change)


class TakesAnotherAlong(MemoryStore):
    """When the time of one freeze is over, every freeze of its scope ends."""

    async def commit(self, change: Change, token: int) -> int:
        if change.entry.kind == "freeze_expired":
            along = tuple(f for f in (await self.load()).freezes if f.scope == change.entry.scope)
            change = replace(change, lift=along)
        return await super().commit(change, token)


class BringsBack(MemoryStore):
    """What is not there is taken for what was decided on."""

    async def commit(self, change: Change, token: int) -> int:
        return await super().commit(await self._if_gone(change), token)

    async def command(self, change: Change) -> int:
        return await super().command(await self._if_gone(change))

    async def _if_gone(self, change: Change) -> Change:
        there = change.service in (await self.load()).services
        return change if there or not change.state else replace(change, expects=0)


class KnowsNamesAlone(MemoryStore):
    """What was decided on a service before its deletion is written to what has come back under its name."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self._deleted: dict[str, int] = {}

    async def commit(self, change: Change, token: int) -> int:
        return await super().commit(await self._as_if_the_same(change), token)

    async def command(self, change: Change) -> int:
        revision = await super().command(await self._as_if_the_same(change))
        if change.delete:
            self._deleted[change.service] = revision
        return revision

    async def _as_if_the_same(self, change: Change) -> Change:
        present = (await self.load()).services.get(change.service)
        earlier = change.state and 0 < (change.expects or 0) < self._deleted.get(change.service, 0)
        return replace(change, expects=present.revision) if present and earlier else change


class DeletesTheFrozen(MemoryStore):
    """A freeze does not stop the deletion of what it covers."""

    async def command(self, change: Change) -> int:
        return await super().command(replace(change, act=Act.RECORD) if change.delete else change)
