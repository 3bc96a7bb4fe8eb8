"""Clocks that jump, controllers that come back: no dwell is shortened, no freeze ends early by more than the jump."""

import pytest

from controller.core.control.commands import Verb
from controller.core.model.actor import Actor
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import LoopHarness, running_loop

pytestmark = pytest.mark.looptime

HOUR = 3600.0
BEGUN = 8
"""Ticks, of half a second each, that a rollout is old when something happens to its clock."""
DWELL = 10
"""Ticks of a dwell."""


@pytest.mark.proves("fault 6")
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_wall_clock_that_jumps_shortens_no_dwell_and_lengthens_none(jump: float) -> None:
    """Five seconds at a step are five seconds of the clock that never jumps."""
    assert await ticks_to_the_second_step(0.0) == await ticks_to_the_second_step(jump)


@pytest.mark.proves("fault 6")
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_clock_that_jumps_while_the_controller_is_away_counts_towards_no_dwell(jump: float) -> None:
    """A restart goes on with the dwell that was observed; what the wall clock says of the time between is ignored."""
    taken = await ticks_with_a_restart(jump)
    assert taken == await ticks_with_a_restart(0.0)
    assert BEGUN + taken > DWELL, "what was not saved does not count, what was not observed neither"


@pytest.mark.proves("fault 6")
@pytest.mark.parametrize(
    ("jump", "over"), [(0.0, False), (HOUR, True), (-HOUR, False)], ids=["none", "forward", "back"]
)
async def test_a_freeze_across_a_restart_ends_early_only_by_what_the_clock_jumped(jump: float, over: bool) -> None:
    """Across a restart the wall clock is all there is: an hour's jump can end a freeze an hour early, and no more."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    async with running_loop(store, clock) as harness:
        await harness.apply()
        await harness.operations.freeze(["scorer"], who=Actor("alice"), reason="quiet, please", ttl=HOUR + 60)
        await harness.look()
    clock.jump(jump)
    async with running_loop(store, clock) as harness:
        await harness.look()
        await harness.look()
        assert (await store.load()).freezes, "an hour's jump does not explain an end more than an hour early"
        clock.advance(61)
        await harness.look()
        await harness.look()
        assert (not (await store.load()).freezes) is over


@pytest.mark.proves("fault 6", "track-record 81")
@pytest.mark.parametrize("off", [HOUR, -HOUR], ids=["ahead", "behind"])
async def test_a_freeze_set_where_the_clock_is_wrong_stands_for_its_ttl(off: float) -> None:
    """Another controller, whose clock is an hour off, sets it; the one that decides ends it after its ttl."""
    async with running_loop() as harness:
        await harness.apply()
        await harness.look()
        other = FakeClock(skew=harness.clock.skew + off)
        await Operations(harness.store, other).freeze(["scorer"], who=Actor("alice"), reason="quiet", ttl=60)
        for seconds, stands in ((1, True), (58, True), (2, False)):
            harness.clock.advance(seconds)
            await harness.look()
            await harness.look()
            assert bool((await harness.store.load()).freezes) is stands


async def ticks_to_the_second_step(jump: float) -> int:
    """How long the first step takes, when the wall clock jumps in the middle of it."""
    async with running_loop() as harness:
        await begin(harness)
        harness.clock.jump(jump)
        return await advance(harness)


async def ticks_with_a_restart(jump: float) -> int:
    """How long the first step takes after a restart, when the wall clock jumped meanwhile."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    async with running_loop(store, clock) as harness:
        await begin(harness)
    clock.jump(jump)
    clock.reboot()
    async with running_loop(store, clock) as harness:
        return await advance(harness)


async def begin(harness: LoopHarness) -> None:
    """A rollout in the middle of its first step."""
    await harness.apply()
    await harness.act(Verb.START, canary="v2")
    await harness.ticks(BEGUN)
    assert (await harness.rollout()).step == 0


async def advance(harness: LoopHarness) -> int:
    """How many ticks it takes until the second step."""
    for count in range(200):
        if (await harness.rollout()).step == 1:
            return count
        await harness.tick()
    raise AssertionError(f"no second step: {await harness.rollout()}")
