"""A service that is deleted takes along what was known of it: what comes under its name later starts again."""

import pytest

from controller.core.control.commands import Verb
from controller.core.model.actor import Actor
from controller.core.model.rollout import Phase
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import LoopHarness, running_loop, tick_until

pytestmark = [pytest.mark.looptime, pytest.mark.proves("track-record 65")]


async def delete(harness: LoopHarness) -> None:
    """The service is deleted, and a cycle observes it."""
    await harness.operations.delete("scorer", who=Actor("alice"), reason="no more")
    await harness.look()


@pytest.mark.parametrize(("errors", "told"), [(0.6, ["stable_unhealthy"] * 2), (0.0, ["stable_unhealthy"])])
async def test_the_ledger_tells_of_the_new_ones_stable_alone(errors: float, told: list[str]) -> None:
    """An unwell stable is told of although that of before was; and one that is well has not recovered."""
    clock = FakeClock()
    async with running_loop(MemoryStore(clock=clock), clock) as harness:
        await harness.apply()
        await harness.ticks(10, stable_errors=0.6)
        await delete(harness)
        await harness.apply()
        await harness.ticks(10, stable_errors=errors)
        assert [kind for kind in await harness.kinds() if kind.startswith("stable_")] == told


async def test_a_rollout_of_the_new_one_has_no_evidence_of_the_old_ones() -> None:
    """After a canary that was rolled back, the same version under the same name is judged from the beginning."""
    clock = FakeClock()
    async with running_loop(MemoryStore(clock=clock), clock) as harness:
        await harness.apply()
        await harness.act(Verb.START, canary="v2")
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.5)
        await delete(harness)
        await harness.apply()
        assert not harness.replica.live("scorer").evidence
        await harness.act(Verb.START, canary="v2")
        await tick_until(harness, Phase.PROMOTED)
