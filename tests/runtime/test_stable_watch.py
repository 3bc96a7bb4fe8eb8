"""While no rollout runs: what stable does is watched, and falls back only where the policy says so."""

import pytest

from controller.core.control.commands import Verb
from controller.core.model.freeze import ALL
from controller.core.model.rollout import Phase
from tests.runtime.world import reach, rolling, running

pytestmark = pytest.mark.looptime


async def test_after_a_rollback_the_watch_goes_on() -> None:
    """What stable does is judged against its own limits and shown; a stable that breaks them is told once."""
    async with rolling() as world:
        await reach(world, Phase.ROLLED_BACK, canary_errors=0.5)
        await world.ticks(4)
        stable = world.replica.live("scorer").stable
        assert stable is not None
        assert stable.outcome == "pass"
        await world.ticks(10, stable_errors=0.6)
        stable = world.replica.live("scorer").stable
        assert stable is not None
        assert stable.outcome == "harm"
        assert (await world.kinds()).count("stable_unhealthy") == 1
        assert (await world.state()).weights == {"v2": 0, "v1": 10_000}
        await world.ticks(200)
        assert (await world.kinds()).count("stable_healthy") == 1


async def test_an_automatic_fallback_takes_the_traffic_when_stable_breaks_its_limits() -> None:
    """Only where the policy says so, only on an absolute limit, and only a person takes it back."""
    async with running() as world:
        await world.apply(fallback="automatic")
        await world.ticks(20)
        await world.ticks(10, stable_errors=0.6)
        assert (await world.state()).diverted
        await world.ticks(20)
        assert (await world.state()).diverted
        await world.act(Verb.RESTORE)
        assert (await world.state()).weights == {"v1": 10_000}


async def test_a_freeze_holds_an_automatic_fallback_too() -> None:
    """Frozen is frozen: the traffic stays, and the ledger says what would have been done."""
    async with running() as world:
        await world.apply(fallback="automatic")
        await world.operations.freeze([ALL], who="alice", reason="incident 42")
        await world.ticks(10, stable_errors=0.6)
        assert not (await world.state()).diverted
        line = next(line for line in await world.store.events() if line.entry.kind == "stable_unhealthy")
        assert "would go to the fallback" in line.entry.why
