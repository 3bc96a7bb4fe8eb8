"""No data is three things: nobody asks, nothing arrives, nobody reports. None of them moves traffic blindly."""

import time

import pytest
import yaml

from controller.demo.harness.child_processes import Children
from tests.integration.world import QUICK, World, world
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy


def without_reports(bootstrap: str) -> str:
    """The bootstrap of an Envoy that follows Haldane and reports nothing: somebody's own, with half of it copied."""
    made = yaml.safe_load(bootstrap)
    del made["cluster_manager"], made["stats_sinks"], made["stats_config"], made["stats_flush_interval"]
    return yaml.safe_dump(made)


async def says(at: World, word: str) -> bool:
    """Whether the rollout's reasons say so."""
    return any(word in reason for reason in (await at.rollout()).reasons)


async def test_a_canary_without_traffic_is_held_and_said_to_be(processes: Children) -> None:
    """Nobody asks: neither promoted nor rolled back."""
    async with world(processes, policy=QUICK) as at:
        await at.start()
        await wait_until(lambda: says(at, "no request"), 30.0)
        begun = time.monotonic()
        await wait_until(lambda: time.monotonic() - begun > 5.0)
        told = await at.rollout()
        assert (told.weights["v2"], told.verdict) == (2000, "unknown")
        assert told.phase in ("WARMING", "PROGRESSING")


async def test_blindness_holds_and_is_written_down(processes: Children) -> None:
    """Traffic flows and is bad, but no proxy reports: the controller says that it is blind, and does not guess."""
    async with world(processes, policy=QUICK, change=without_reports) as at, steady(at.entry, 50) as load:
        await wait_until(lambda: len(load.answers) > 20)
        await at.start()
        at.models["v2"].behaviour = Behaviour(errors=0.5)
        await wait_until(lambda: says(at, "no reports on"), 60.0)

        async def written() -> bool:
            return "blind" in await at.kinds()

        await wait_until(written)
        told = await at.rollout()
        assert (told.weights["v2"], told.verdict, told.proxies_synced) == (2000, "unknown", 1)


@pytest.mark.soak
async def test_sight_that_comes_back_is_used_at_once(processes: Children) -> None:
    """Blind, then an Envoy that reports takes the place of the other: the harm is seen and taken back."""
    async with world(processes, policy=QUICK) as at:
        at.envoy.kill()
        await at.start()
        await wait_until(lambda: says(at, "no reports on"), 60.0)
        at.models["v2"].behaviour = Behaviour(errors=1.0)
        await at.envoy.start()
        async with steady(at.entry, 100):
            await at.reach("ROLLED_BACK")
        assert [kind for kind in await at.kinds() if kind in ("blind", "sight_back")] == ["blind", "sight_back"]
