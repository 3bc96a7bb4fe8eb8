"""A rollback goes before requests and reports, and cannot stop them for long."""

import asyncio
import time

import pytest

from controller.core.base.errors import Refusal
from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.store_errors import NotWritten
from controller.process import right_of_way
from controller.process.right_of_way import BATCH, RightOfWay
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from tests.builders import service_file
from tests.fakes.clock import FakeClock


async def test_without_a_claim_nothing_waits() -> None:
    """A turn is there at once, also after a claim was given up, and giving up what nobody claimed changes nothing."""
    way = RightOfWay()
    way.give_up()
    assert not way.claimed
    way.claim()
    assert way.claimed
    way.give_up()
    assert not way.claimed


async def test_what_waited_goes_on_in_order_and_in_batches() -> None:
    """So that thousands of requests that waited are not one long turn of the event loop; those that ended are left."""
    way, done = RightOfWay(), []
    way.claim()

    async def handle(number: int) -> None:
        await way.turn()
        done.append(number)

    tasks = [asyncio.create_task(handle(number)) for number in range(3 * BATCH)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    way.give_up()
    counts = []
    for _ in range(5):
        await asyncio.sleep(0)
        counts.append(len(done))
    assert done == list(range(1, 3 * BATCH))
    assert all(later - earlier <= BATCH for earlier, later in zip([0, *counts], counts, strict=False))


async def test_rollbacks_in_a_row_leave_others_half_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim ends by itself, and the next one counts only after as long a time as that one lasted."""
    monkeypatch.setattr(right_of_way, "LONGEST_WAIT", 0.1)
    way, loop = RightOfWay(), asyncio.get_running_loop()
    way.claim()
    begun = loop.time()
    async with asyncio.timeout(5):
        await way.turn()
    free = loop.time()
    assert free - begun >= 0.1
    while not way.claimed:
        way.claim()
        await asyncio.sleep(0.005)
    assert loop.time() - free >= 0.09


async def test_a_claim_lasts_for_the_event_loops_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other things a push takes longer, and keeps the right of way for all of it."""
    monkeypatch.setattr(right_of_way, "LONGEST", 0.05)
    way = RightOfWay()
    way.claim()
    await asyncio.sleep(0.1)
    assert way.claimed
    begun = time.thread_time()
    while way.claimed:
        assert time.thread_time() - begun < 1.0
        await asyncio.sleep(0)


async def test_a_turn_is_there_at_once_unless_it_is_claimed() -> None:
    """Whoever reads requests does so in the same turn of the event loop."""
    way = RightOfWay()
    for claimed in (False, True):
        reader = asyncio.create_task(way.turn())
        await asyncio.sleep(0)
        assert reader.done() is not claimed
        way.claim()
    way.give_up()
    await reader


class Refusing(MemoryStore):
    """A store that does not write rollbacks."""

    async def command(self, change: object) -> int:
        if getattr(change, "act", "").endswith("rollback"):
            raise NotWritten("the disk is full")
        return await super().command(change)  # type: ignore[arg-type]


@pytest.mark.parametrize("store", [MemoryStore, Refusing])
async def test_an_operators_rollback_claims_it_for_its_push_and_nothing_else_does(store: type[MemoryStore]) -> None:
    """From the commit on, since the push follows; one that failed has no push."""
    clock, way = FakeClock(), RightOfWay()
    operations = Operations(store(clock=clock), clock, right_of_way=way)
    await operations.apply(service_file("scorer", 10000), who=Actor("ada"))
    await operations.act("scorer", Command(Verb.START, reason="", canary="v2"), who=Actor("ada"))
    assert not way.claimed
    if store is Refusing:
        with pytest.raises(Refusal):
            await operations.act("scorer", Command(Verb.ROLLBACK, reason=""), who=Actor("ada"))
        assert not way.claimed
    else:
        await operations.act("scorer", Command(Verb.ROLLBACK, reason=""), who=Actor("ada"))
        assert way.claimed
