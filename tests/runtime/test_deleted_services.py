"""A service that is deleted takes along what was known of it: what comes under its name later begins anew."""

import pytest

from controller.core.control.commands import Verb
from controller.core.model.rollout import Phase
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.runtime.world import World, reach, running

pytestmark = pytest.mark.looptime


async def delete(world: World) -> None:
    """The service goes, and the loop sees that."""
    await world.operations.delete("scorer", who="alice", reason="no more")
    await world.look()


@pytest.mark.parametrize(("errors", "told"), [(0.6, ["stable_unhealthy"] * 2), (0.0, ["stable_unhealthy"])])
async def test_the_ledger_tells_of_the_new_ones_stable_alone(errors: float, told: list[str]) -> None:
    """An unwell stable is told of although that of before was; and one that is well has not recovered."""
    clock = FakeClock()
    async with running(MemoryStore(clock=clock), clock) as world:
        await world.apply()
        await world.ticks(10, stable_errors=0.6)
        await delete(world)
        await world.apply()
        await world.ticks(10, stable_errors=errors)
        assert [kind for kind in await world.kinds() if kind.startswith("stable_")] == told


async def test_a_rollout_of_the_new_one_has_no_evidence_of_the_old_ones() -> None:
    """After a canary that was taken back, the same version under the same name is judged from the beginning."""
    clock = FakeClock()
    async with running(MemoryStore(clock=clock), clock) as world:
        await world.apply()
        await world.act(Verb.START, canary="v2")
        await reach(world, Phase.ROLLED_BACK, canary_errors=0.5)
        await delete(world)
        await world.apply()
        assert not world.replica.live("scorer").evidence
        await world.act(Verb.START, canary="v2")
        await reach(world, Phase.PROMOTED)
