"""No data is three things: no one asks, nothing arrives, no one reports. None of them moves traffic blindly."""

import time

import pytest
import yaml

from controller.demo.harness.child_processes import Children
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import QUICK, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy


def without_reports(bootstrap: str) -> str:
    """The bootstrap of an Envoy that follows Haldane and reports nothing: someone's own, with half of it copied."""
    made = yaml.safe_load(bootstrap)
    del made["cluster_manager"], made["stats_sinks"], made["stats_config"], made["stats_flush_interval"]
    return yaml.safe_dump(made)


async def says(system: System, word: str) -> bool:
    """Whether the rollout's reasons say so."""
    return any(word in reason for reason in (await system.rollout()).reasons)


@pytest.mark.proves("fault 19")
async def test_a_canary_without_traffic_is_held_and_said_to_be(processes: Children) -> None:
    """No one asks: neither promoted nor rolled back."""
    async with running_system(processes, policy=QUICK) as system:
        await system.start()
        await wait_until(lambda: says(system, "no request"), 30.0)
        begun = time.monotonic()
        await wait_until(lambda: time.monotonic() - begun > 5.0)
        told = await system.rollout()
        assert (told.weights["v2"], told.verdict) == (2000, "unknown")
        assert told.phase in ("WARMING", "PROGRESSING")


@pytest.mark.proves("fault 17")
async def test_blindness_holds_and_is_written_down(processes: Children) -> None:
    """Traffic flows and is bad, but no proxy reports: the controller says that it is blind, and does not guess."""
    async with (
        running_system(processes, policy=QUICK, change=without_reports) as system,
        steady(system.entry, 50) as load,
    ):
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        system.models["v2"].behaviour = Behaviour(errors=0.5)
        await wait_until(lambda: says(system, "no reports on"), 60.0)

        async def written() -> bool:
            return "blind" in await system.kinds()

        await wait_until(written)
        told = await system.rollout()
        assert (told.weights["v2"], told.verdict, told.proxies_synced) == (2000, "unknown", 1)


@pytest.mark.soak
async def test_sight_that_comes_back_is_used_at_once(processes: Children) -> None:
    """Blind, then an Envoy that reports takes the place of the other: the harm is seen and rolled back."""
    async with running_system(processes, policy=QUICK) as system:
        system.envoy.kill()
        await system.start()
        await wait_until(lambda: says(system, "no reports on"), 60.0)
        system.models["v2"].behaviour = Behaviour(errors=1.0)
        await system.envoy.start()
        async with steady(system.entry, 100):
            await system.reach("ROLLED_BACK")
        assert [kind for kind in await system.kinds() if kind in ("blind", "sight_back")] == ["blind", "sight_back"]
