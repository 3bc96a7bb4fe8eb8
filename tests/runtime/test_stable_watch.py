"""While no rollout runs: what stable does is watched, and falls back only where the policy says so."""

import pytest

from controller.core.control.commands import Verb
from controller.core.model.actor import Actor
from controller.core.model.freeze import ALL
from controller.core.model.rollout import Phase
from tests.support.loop_harness import running_loop, running_rollout, tick_until

pytestmark = pytest.mark.looptime


async def test_after_a_rollback_the_watch_goes_on() -> None:
    """What stable does is judged against its own limits and shown; a stable that breaks them is told once."""
    async with running_rollout() as harness:
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.5)
        await harness.ticks(4)
        stable = harness.replica.live("scorer").stable
        assert stable is not None
        assert stable.outcome == "pass"
        await harness.ticks(10, stable_errors=0.6)
        stable = harness.replica.live("scorer").stable
        assert stable is not None
        assert stable.outcome == "harm"
        assert (await harness.kinds()).count("stable_unhealthy") == 1
        assert (await harness.state()).weights == {"v2": 0, "v1": 10_000}
        await harness.ticks(200)
        assert (await harness.kinds()).count("stable_healthy") == 1


async def test_an_automatic_fallback_takes_the_traffic_when_stable_breaks_its_limits() -> None:
    """Only where the policy says so, only on an absolute limit, and only a person takes it back."""
    async with running_loop() as harness:
        await harness.apply(fallback="automatic")
        await harness.ticks(20)
        await harness.ticks(10, stable_errors=0.6)
        assert (await harness.state()).diverted
        await harness.ticks(20)
        assert (await harness.state()).diverted
        await harness.act(Verb.RESTORE)
        assert (await harness.state()).weights == {"v1": 10_000}


async def test_a_freeze_holds_an_automatic_fallback_too() -> None:
    """Frozen is frozen: the traffic stays, and the ledger says what would have been done."""
    async with running_loop() as harness:
        await harness.apply(fallback="automatic")
        await harness.operations.freeze([ALL], who=Actor("alice"), reason="incident 42")
        await harness.ticks(10, stable_errors=0.6)
        assert not (await harness.state()).diverted
        line = next(line for line in await harness.store.events() if line.entry.kind == "stable_unhealthy")
        assert "would go to the fallback" in line.entry.why
