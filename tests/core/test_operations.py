"""The operator's acts, without a door."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Mode
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.store_errors import NotWritten, StoreLost
from controller.runtime.allowed import Allowed
from controller.runtime.operations import Operations
from controller.runtime.outcome_counter import EVERY
from controller.store.memory import MemoryStore
from tests.builders import service_file
from tests.fakes.clock import FakeClock

SOURCED = "v2: {kubernetes: {namespace: ml, service: v2, port: http}}"


async def test_no_more_services_than_the_setting_allows_are_declared() -> None:
    """At the limit all is well, and what is there can be changed; one more is refused, and a delete makes room."""
    clock = FakeClock()
    operations = Operations(MemoryStore(clock=clock), clock, Allowed(max_services=2))
    for name, port in (("a", 10000), ("b", 10001), ("b", 10002)):
        await operations.apply(service_file(name, port), who=Actor("ada"))
    with pytest.raises(Refusal, match="max_services") as refused:
        await operations.apply(service_file("c", 10003), who=Actor("ada"))
    assert refused.value.code is Code.TOO_MANY
    await operations.delete("a", who=Actor("ada"), reason="gone")
    await operations.apply(service_file("c", 10003), who=Actor("ada"))


async def test_a_service_of_kubernetes_is_declared_where_there_is_an_api_server() -> None:
    """Elsewhere no controller would ever read its endpoints."""
    text = service_file().replace('v2: {endpoints: ["127.0.0.1:9002"]}', SOURCED)
    assert SOURCED in text
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    with pytest.raises(Refusal) as refused:
        await Operations(store, clock).apply(text, who=Actor("ada"))
    assert [violation.field for violation in refused.value.violations] == ["versions.v2.kubernetes"]
    await Operations(store, clock, Allowed(kubernetes=True)).apply(text, who=Actor("ada"))


class TestApplyAll:
    """Many service files: checked as one, applied in order."""

    async def test_what_is_wrong_in_any_file_is_named_by_its_number(self) -> None:
        """Text, policy, clash with another file, clash with what is stored: all at once, and nothing is applied."""
        clock = FakeClock()
        operations = Operations(MemoryStore(clock=clock), clock, Allowed(max_services=6))
        await operations.apply(service_file("stored", 10000), who=Actor("ada"))
        texts = [
            service_file("good", 10001),
            service_file("wrong", 10002) + "colour: red\n",
            service_file("hooked", 10003, policy="  hooks: [nobody]\n"),
            service_file("rival", 10001),
            service_file("good", 10004),
            service_file("late", 10000),
            *(service_file(f"more-{number}", 10010 + number) for number in range(3)),
        ]
        with pytest.raises(Refusal, match="nothing was applied: 6 of 9 files") as refused:
            await operations.apply_all(texts, who=Actor("ada"))
        found = [(violation.field, violation.message) for violation in refused.value.violations]
        assert [field for field, _ in found] == [
            "files[1].colour",
            "files[2].policy.hooks",
            "files[3]",
            "files[4]",
            "files[5].listen",
            "files[8]",
        ]
        assert found[2][1].startswith("clashes with files[0]: good and rival both claim")
        assert found[3][1] == "clashes with files[0]: declares good too"
        assert "max_services" in found[5][1]
        assert set((await operations.view()).services) == {"stored"}

    async def test_new_changed_and_unchanged_ones_are_told_apart(self) -> None:
        """Each has its line in the ledger but the one that says what was there; a dry run has none."""
        clock = FakeClock()
        operations = Operations(MemoryStore(clock=clock), clock)
        await operations.apply(service_file("same", 10000), who=Actor("ada"))
        await operations.apply(service_file("moved", 10001), who=Actor("ada"))
        texts = [service_file("new", 10001), service_file("moved", 10002), service_file("same", 10000)]
        for dry_run in (True, False):
            done = await operations.apply_all(texts, who=Actor("ada"), reason="as in the folder", dry_run=dry_run)
            assert [(each.state.name, each.unchanged) for each in done] == [
                ("new", False),
                ("moved", False),
                ("same", True),
            ]
            assert len(await operations.events()) == (2 if dry_run else 4)
        assert [each.state.revision for each in done] == [3, 4, 1]

    async def test_the_same_request_again_changes_nothing_whatever_came_since(self) -> None:
        """Its id covers each of its files: one that somebody has changed since is not changed back."""
        clock = FakeClock()
        operations = Operations(MemoryStore(clock=clock), clock)
        texts = [service_file("one", 10001), service_file("two", 10002)]
        await operations.apply_all(texts, who=Actor("ada"), request_id="abc")
        await operations.apply(service_file("two", 10003), who=Actor("grace"))
        again = await operations.apply_all(texts, who=Actor("ada"), request_id="abc")
        assert again[1].state.spec.listen.port == 10003
        assert len(await operations.events()) == 3
        with pytest.raises(Refusal) as refused:
            await operations.apply_all([service_file("one", 10009)], who=Actor("ada"), request_id="abc")
        assert refused.value.code is Code.REQUEST_ID_REUSED


@pytest.mark.proves("track-record 71")
async def test_no_more_freezes_than_the_setting_allows_stand() -> None:
    """At the limit a further freeze is refused and changes nothing; those that stand can be renewed, asked for again
    by their request id, and lifted, which makes room."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    operations = Operations(store, clock, Allowed(max_freezes=2))
    for reason in ("deploy", "incident"):
        await operations.freeze([ALL], who=Actor("ada"), reason=reason, request_id=reason)
    before = await store.load()
    with pytest.raises(
        Refusal, match=r"max_freezes allows 2 freezes and holds, .* a freeze of all services"
    ) as refused:
        await operations.freeze([ALL], who=Actor("grace"), reason="another")
    assert refused.value.code is Code.TOO_MANY
    assert await store.load() is before
    await operations.freeze([ALL], who=Actor("ada"), reason="deploy", request_id="deploy")
    await operations.freeze([ALL], who=Actor("ada"), reason="incident")
    await operations.freeze([ALL], who=Actor("grace"), reason="only a hold", mode=Mode.HOLD)
    assert [f.reason for f in (await store.load()).freezes] == ["deploy", "incident", "only a hold"]
    await operations.unfreeze([ALL], who=Actor("ada"), reason="over")
    await operations.freeze([ALL], who=Actor("grace"), reason="another")


class Slow(MemoryStore):
    """A store that applies a change and answers, `after` so long each; `mute`, `full` or `away` it does not answer."""

    after = 0.0
    mute = False
    full = False
    away = False

    async def applied(self, change_id: str) -> Applied | None:
        if self.away:
            raise StoreLost("hangs")
        return await super().applied(change_id)

    async def command(self, change: Change) -> int:
        if self.full:
            raise NotWritten("the disk is full")
        await asyncio.sleep(self.after)
        revision = await super().command(change)
        await asyncio.sleep(self.after)
        if self.mute:
            raise StoreLost("no answer")
        return revision


@dataclass
class Desk:
    """An operator's commands over such a store, and what was told of them."""

    store: Slow
    operations: Operations
    told: list[tuple[str, LedgerKind]]

    async def roll_back(self, request_id: str = "") -> None:
        await self.operations.act("scorer", Command(Verb.ROLLBACK, "harm"), who=Actor("ada"), request_id=request_id)


@contextlib.asynccontextmanager
async def manned() -> AsyncIterator[Desk]:
    """A rollout runs, and what becomes of commands is asked for."""
    clock, told = FakeClock(), list[tuple[str, LedgerKind]]()
    store = Slow(clock=clock)
    operations = Operations(store, clock, on_outcome=lambda service, decision: told.append((service, decision.kind)))
    await operations.apply(service_file(), who=Actor("ada"))
    await operations.act("scorer", Command(Verb.START, "", canary="v2"), who=Actor("ada"))
    told.clear()
    running = asyncio.create_task(operations.run())
    try:
        yield Desk(store, operations, told)
    finally:
        running.cancel()


ONCE = [("scorer", LedgerKind.ROLLBACK)]


@pytest.mark.proves("track-record 67")
@pytest.mark.looptime
class TestTold:
    """Each rollback that came true is told of once, whatever became of its answer."""

    async def test_a_lost_answer(self) -> None:
        """It came true, no one repeats it: it is found in the store."""
        async with manned() as desk:
            desk.store.mute = True
            with pytest.raises(Refusal, match="perhaps later"):
                await desk.roll_back()
            assert desk.told == []
            await asyncio.sleep(3 * EVERY)
            assert desk.told == ONCE

    @pytest.mark.parametrize("pause", [0, 3 * EVERY], ids=["at once", "later"])
    async def test_a_lost_answer_and_the_same_request_again(self, pause: float) -> None:
        """Whether it is repeated before or after it was found in the store."""
        async with manned() as desk:
            desk.store.mute = True
            with pytest.raises(Refusal, match="perhaps later"):
                await desk.roll_back("once")
            await asyncio.sleep(pause)
            await desk.roll_back("once")
            await asyncio.sleep(3 * EVERY)
            assert desk.told == ONCE

    async def test_the_same_request_twice_at_once(self) -> None:
        """Neither knows of the other; the store does one of them."""
        async with manned() as desk:
            desk.store.after = 1
            await asyncio.gather(desk.roll_back("once"), desk.roll_back("once"))
            assert desk.told == ONCE

    async def test_who_asked_has_gone(self) -> None:
        """What had begun came true all the same."""
        async with manned() as desk:
            desk.store.after = 1
            asking = asyncio.create_task(desk.roll_back())
            await asyncio.sleep(1.5)
            asking.cancel()
            await asyncio.sleep(3 * EVERY)
            assert desk.told == ONCE

    async def test_nothing_came_true(self) -> None:
        """Nothing is told until it is done, by the same request with the disk back."""
        async with manned() as desk:
            desk.store.full = True
            with pytest.raises(Refusal, match="nothing was changed"):
                await desk.roll_back("once")
            await asyncio.sleep(3 * EVERY)
            assert desk.told == []
            desk.store.full = False
            await desk.roll_back("once")
            await asyncio.sleep(3 * EVERY)
            assert desk.told == ONCE

    async def test_a_store_that_stays_away_is_asked_again(self) -> None:
        """Until it answers."""
        async with manned() as desk:
            desk.store.mute = True
            with pytest.raises(Refusal, match="perhaps later"):
                await desk.roll_back()
            desk.store.away = True
            await asyncio.sleep(3 * EVERY)
            assert desk.told == []
            desk.store.away = False
            await asyncio.sleep(3 * EVERY)
            assert desk.told == ONCE
