"""A store that is away, slow, or whose answers get lost: nothing waits for it that need not, nothing is done twice."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from controller.core.control.commands import Verb
from controller.core.control.session import Session
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.ledger_line import Entry
from controller.core.model.rollout import Phase
from controller.ports.archive import SavedSession
from controller.runtime.session_saver import TOGETHER, SessionSaver
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.fakes.store import FaultyStore
from tests.support.loop_harness import running_loop, running_rollout, tick_until

pytestmark = pytest.mark.looptime


@pytest.mark.proves("fault 7")
async def test_a_store_that_is_away_moves_nothing_and_is_tried_again() -> None:
    """No commit, no move; once the store answers, what is due happens."""
    clock = FakeClock()
    store = FaultyStore(clock=clock)
    async with running_rollout(store, clock) as harness:
        store.full = True
        await harness.ticks(6, canary_errors=0.5)
        assert (await harness.state()).weights == {"v2": 2000, "v1": 8000}
        assert store.health.problem == "the disk is full"
        store.full = False
        await tick_until(harness, Phase.ROLLED_BACK, within=4, canary_errors=0.5)
        assert not store.health.problem


@pytest.mark.proves("fault 10", "track-record 39")
async def test_what_came_true_without_an_answer_is_not_written_twice() -> None:
    """Sight is lost while the store's answers are: one line says so, and a freeze whose time is over ends once."""
    clock = FakeClock()
    store = FaultyStore(clock=clock)
    async with running_rollout(store, clock) as harness:
        await harness.ticks(4)
        await harness.operations.freeze(["scorer"], who=Actor("alice"), reason="quiet, please", ttl=5)
        await harness.look()
        store.mute = True
        for _ in range(20):
            clock.advance(1)
            await harness.look()
        store.mute = False
        await harness.look()
        kinds = await harness.kinds()
        assert (kinds.count("blind"), kinds.count("freeze_expired")) == (1, 1)
        assert not (await store.load()).freezes


@pytest.mark.proves("track-record 50")
async def test_a_rollback_that_came_true_without_an_answer_is_gone_on_with() -> None:
    """The loop learns of it as everybody does, by the store's watch; it does not do it again, and counts it once."""
    clock = FakeClock()
    store = FaultyStore(clock=clock)
    async with running_rollout(store, clock) as harness:
        store.mute = True
        await harness.ticks(8, canary_errors=0.5)
        store.mute = False
        await tick_until(harness, Phase.ROLLED_BACK, within=4)
        assert (await harness.kinds()).count("rollback") == 1
        assert harness.figures.decisions.count("rollback") == 1


class SlowArchive(MemoryStore):
    """A store that saves no session until it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.free = asyncio.Event()

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        await self.free.wait()
        return await super().save_sessions(sessions)


class CountingArchive(MemoryStore):
    """A store that counts how often it is asked to save sessions, and which it was given."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.saves: list[list[str]] = []

    async def save_sessions(self, sessions: Mapping[str, SavedSession]) -> Collection[str]:
        self.saves.append([*sessions])
        return await super().save_sessions(sessions)


async def test_sessions_are_saved_many_at_a_time_and_the_oldest_first() -> None:
    """A turn in the store for each would take most of the time within which all must be saved."""
    clock = FakeClock()
    archive = CountingArchive(clock)
    async with running_rollout(archive, clock) as harness:
        session = Session.of(await harness.state())
    archive.saves.clear()
    saver = SessionSaver(archive, clock)
    names = [f"s{number}" for number in range(2 * TOGETHER + 1)]
    for name in names:
        saver.save_soon(name, session)
    await saver.save()
    assert archive.saves == [names[:TOGETHER], names[TOGETHER : 2 * TOGETHER], names[2 * TOGETHER :]]
    for name in names:
        assert await saver.load(name, session.rollout_id) is not None


@pytest.mark.proves("track-record 37")
async def test_no_rollback_waits_for_the_saving_of_sessions() -> None:
    """Nothing can be saved: all goes on as it should, and what is newest is saved once it can be."""
    clock = FakeClock()
    store = SlowArchive(clock)
    async with running_rollout(store, clock) as harness:
        await harness.ticks(20)
        before = (await harness.rollout()).id
        assert await store.load_session("scorer", before) is None
        await tick_until(harness, Phase.ROLLED_BACK, within=10, canary_errors=0.5)
        store.free.set()
        await harness.look()
        await asyncio.sleep(1)
        assert await store.load_session("scorer", before)


class SlowAdvance(MemoryStore):
    """A store that takes one service's changes only when it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.free = asyncio.Event()
        self.waiting = False

    async def commit(self, change: Change, token: int) -> int:
        if change.service == "slow":
            self.waiting = True
            await self.free.wait()
            self.waiting = False
        return await super().commit(change, token)


@pytest.mark.proves("track-record 37")
async def test_no_rollback_waits_for_another_services_change() -> None:
    """One service's step takes long to be written: the other one is rolled back meanwhile."""
    clock = FakeClock()
    store = SlowAdvance(clock)
    async with running_loop(store, clock) as harness:
        await harness.apply("slow", port=10001)
        await harness.apply()
        for name in ("slow", "scorer"):
            await harness.act(Verb.START, name, canary="v2")
        while not store.waiting:
            await harness.tick("slow")
        await tick_until(harness, Phase.ROLLED_BACK, within=10, canary_errors=0.5)
        assert store.waiting, "nothing was slow: nothing is proved"
        store.free.set()
        while (await harness.rollout("slow")).phase is Phase.WARMING:
            await harness.tick("slow")


async def test_what_is_written_down_does_not_hold_up_what_has_to_move() -> None:
    """Hundreds of lines wait for the ledger: a rollback that is due comes before most of them, and they follow."""
    async with running_rollout() as harness:
        await harness.ticks(4)
        for n in range(500):
            harness.replica.write_line(Entry(kind="proxy_refused", who="haldane", why=f"number {n}"))
        await tick_until(harness, Phase.ROLLED_BACK, within=10, canary_errors=0.5)
        assert (await harness.kinds()).index("rollback") < 150
        while (await harness.kinds()).count("proxy_refused") < 500:
            await harness.look()
