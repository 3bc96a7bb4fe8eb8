"""What leads to a tick of which service: only what happened to it, or time where time can change something."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controller.core.control.commands import Verb
from controller.core.control.sync import Sync
from controller.core.judge.arrivals import BLIND_AFTER
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.freeze import ALL, Act
from controller.core.model.rollout import Phase
from controller.runtime import cycle
from controller.runtime.cycle import ACKS, IDLE, IDLE_OF_MANY, MANY
from controller.runtime.ticker import COMMITS
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock, LoopClock
from tests.fakes.store import ElectedStore
from tests.support.loop_harness import LoopHarness, running_loop, running_rollout, tick_until

pytestmark = pytest.mark.looptime

PACE = 0.2
"""Seconds between two reports."""
BEHIND = Sync(1, 2, behind=("edge-2",))


@contextmanager
def ticks(harness: LoopHarness) -> Iterator[Counter[str]]:
    """How often each service is ticked meanwhile: every tick takes one window from the book."""
    counted: Counter[str] = Counter()
    take = harness.book.take_window

    def count(service: str, *args: Any) -> Any:
        counted[service] += 1
        return take(service, *args)

    harness.book.take_window = count  # type: ignore[method-assign]
    yield counted
    harness.book.take_window = take  # type: ignore[method-assign]


async def test_idle_services_are_not_ticked_and_a_rollout_is_twice_a_second() -> None:
    """Nothing is reported for a minute. When a freeze comes, it concerns what moves."""
    async with running_rollout() as harness:
        for number in range(20):
            await harness.apply(f"idle-{number}", port=10001 + number)
        await harness.look()
        with ticks(harness) as counted:
            await asyncio.sleep(60)
            assert set(counted) == {"scorer"}
            assert 60 / IDLE - 2 <= counted["scorer"] <= 60 / IDLE + 2
            counted.clear()
            await harness.operations.freeze([ALL], who=Actor("alice"), reason="incident 42")
            await asyncio.sleep(IDLE / 2)
            assert counted == {"scorer": 1} or counted == {"scorer": 2}


async def test_what_is_reported_or_stored_of_one_service_ticks_that_one() -> None:
    """At once, and no other one."""
    async with running_loop() as harness:
        await harness.apply()
        await harness.apply("other", port=10001)
        await harness.look()
        with ticks(harness) as counted:
            harness.replica.wake(["scorer"])
            await asyncio.sleep(0.02)
            assert counted == {"scorer": 1}
            await harness.act(Verb.START, "other", canary="v2")
            await asyncio.sleep(0.02)
            assert counted["other"] == 1
            assert counted["scorer"] == 1


async def report(harness: LoopHarness, wake: Callable[[Iterable[str]], None], *, canary_errors: float = 0.0) -> None:
    """One of five reports a second; `wake` is called with what it completes."""
    loads = harness.loads(await harness.state(), canary_errors=canary_errors)
    wake(harness.book.on_load_report("envoy-1", loads, PACE, harness.clock.monotonic()))
    await asyncio.sleep(PACE)


async def report_until(
    harness: LoopHarness, phase: Phase, wake: Callable[[Iterable[str]], None], *, canary_errors: float = 0.0
) -> int:
    """How many reports it took until the rollout was in that phase."""
    for count in range(500):
        if (await harness.rollout()).phase is phase:
            return count
        await report(harness, wake, canary_errors=canary_errors)
    raise AssertionError(f"not {phase}: {await harness.rollout()}")


async def test_reports_between_two_bets_are_judged_together() -> None:
    """Five reports a second lead to two ticks: one for a bet a second, and one for what time alone changes."""
    async with running_rollout(clock=LoopClock()) as harness:
        await report_until(harness, Phase.PROGRESSING, harness.replica.on_reports)
        with ticks(harness) as counted:
            for _ in range(round(4 / PACE)):
                await report(harness, harness.replica.on_reports)
            assert 6 <= counted["scorer"] <= 10
            assert sum(harness.book.totals()["scorer", "v2"].values()) > 0


async def test_among_many_rollouts_each_tick_is_one_for_a_bet(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in a second while reports come; without them time alone still leads to ticks, and blindness is noticed."""
    monkeypatch.setattr(cycle, "MANY", 0)
    async with running_rollout(clock=LoopClock()) as harness:
        await report_until(harness, Phase.PROGRESSING, harness.replica.on_reports)
        with ticks(harness) as counted:
            for _ in range(round(12 / PACE)):
                await report(harness, harness.replica.on_reports)
            assert 9 <= counted["scorer"] <= 13
            counted.clear()
            await asyncio.sleep(4 * IDLE_OF_MANY)
            assert 3 <= counted["scorer"] <= 5


@pytest.mark.parametrize("many", [MANY, 0], ids=["one rollout", "as among many"])
async def test_harm_is_found_as_fast_as_with_a_tick_for_each_report(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To within one report: bets on errors are made at the same times."""
    monkeypatch.setattr(cycle, "MANY", many)
    counts = []
    for each in (False, True):
        async with running_rollout(clock=LoopClock()) as harness:
            wake = harness.replica.wake if each else harness.replica.on_reports
            await report_until(harness, Phase.PROGRESSING, wake)
            counts.append(await report_until(harness, Phase.ROLLED_BACK, wake, canary_errors=0.5))
    together, alone = counts
    assert 1 <= together <= alone + 1


async def test_many_acks_lead_to_few_ticks_of_what_waits_for_proxies() -> None:
    """A thousand ACKs within a second: the rollout that waits is ticked about once in 50 ms, so that it
    notices the last one that soon; one that is in sync is not ticked for them."""
    async with running_rollout() as harness:
        await harness.apply("other", port=10001)
        harness.fleet.synced = BEHIND
        await harness.look()
        assert (await harness.rollout()).phase is Phase.WARMING
        with ticks(harness) as counted:
            for _ in range(1000):
                harness.replica.on_proxies()
                await asyncio.sleep(0.001)
            assert 1 / ACKS / 2 <= counted["scorer"] <= 1 / ACKS + 3
            assert counted["other"] == 0
            harness.fleet.synced = Sync(2, 2)
            harness.replica.on_proxies()
            await asyncio.sleep(2 * ACKS)
            counted.clear()
            for _ in range(100):
                harness.replica.on_proxies()
                await asyncio.sleep(0.001)
            assert counted["scorer"] <= 1


async def test_a_commit_that_hangs_holds_up_no_other_service_and_nothing_spins() -> None:
    """The store does not answer a decision on one: the other one is ticked on, at the usual pace."""
    clock = FakeClock()
    store = ElectedStore(clock=clock)
    async with running_rollout(store, clock) as harness:
        await harness.apply("other", port=10001)
        await harness.act(Verb.START, "other", canary="v2")
        await harness.ticks(2)
        store.commits.clear()
        for _ in range(20):  # the warm-up of one is over: that decision hangs
            await harness.tick()
        before = await harness.kinds()
        with ticks(harness) as counted:
            cycles = harness.cycles
            await asyncio.sleep(10)
            assert harness.cycles - cycles < 100
            assert counted["other"] + counted["scorer"] >= 10 / IDLE - 2
        assert await harness.kinds() == before
        store.commits.set()
        await harness.tick()
        assert (await harness.kinds())[len(before)] == "rollout_warm"
        await tick_until(harness, Phase.PROMOTED)


async def test_an_idle_stable_that_is_silent_is_shown_as_blind_without_a_tick() -> None:
    """What is shown is worked out when it is asked for."""
    async with running_loop() as harness:
        await harness.apply()
        await harness.ticks(4)
        with ticks(harness) as counted:
            harness.clock.advance(BLIND_AFTER + 1)
            stable = harness.replica.live("scorer").stable
            assert stable is not None
            assert stable.blind
            assert not counted


async def test_an_unhealthy_stable_is_ticked_until_it_is_well() -> None:
    """Silent after harm: that it is over is written down although nothing else happens."""
    async with running_loop() as harness:
        await harness.apply()
        await harness.ticks(10, stable_errors=0.6)
        assert (await harness.kinds())[-1] == "stable_unhealthy"
        harness.clock.advance(BLIND_AFTER + 1)
        await asyncio.sleep(2 * IDLE)
        assert (await harness.kinds())[-1] == "stable_healthy"


async def test_the_recording_of_a_rollout_that_is_over_leaves_memory_once_it_is_saved() -> None:
    """Although its service is idle from then on."""
    async with running_rollout() as harness:
        await harness.ticks(10)
        await harness.act(Verb.ROLLBACK)
        await tick_until(harness, Phase.ROLLED_BACK)
        await asyncio.sleep(1)
        await harness.recorder.save()
        assert not harness.recorder._running
        assert await harness.recorder.find((await harness.rollout()).id)


class Crowded(ElectedStore):
    """Counts the commits that wait in it; a rollback does not."""

    waiting = most = 0

    async def commit(self, change: Change, token: int) -> int:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            if change.act is Act.ROLLBACK:
                return await MemoryStore.commit(self, change, token)
            return await super().commit(change, token)
        finally:
            self.waiting -= 1


async def test_of_many_decisions_at_once_few_are_in_the_store_and_a_rollback_waits_for_none() -> None:
    """So an operator's act is not behind all of them, nor is harm at one service."""
    clock = FakeClock()
    store = Crowded(clock=clock)
    async with running_rollout(store, clock) as harness:
        await tick_until(harness, Phase.PROGRESSING)
        names = [f"other-{number}" for number in range(2 * COMMITS)]
        for number, name in enumerate(names):
            await harness.apply(name, port=10001 + number)
            await harness.act(Verb.START, name, canary="v2")
        store.commits.clear()
        loads = {key: load for name in names for key, load in harness.loads(await harness.state(name)).items()}
        for _ in range(10):
            clock.advance(0.5)
            harness.book.on_load_report("envoy-1", loads, 0.5, clock.now)
            await harness.look()
        assert (store.waiting, store.most) == (COMMITS, COMMITS)
        await tick_until(harness, Phase.ROLLING_BACK, within=20, canary_errors=0.5)
        store.commits.set()
        await harness.look()
        await harness.look()
        assert {(await harness.rollout(name)).weight for name in names} == {2000}
