"""The probe: whether the store answers is known also while nothing is written."""

import asyncio

import pytest

from controller.runtime.store_probe import EVERY, WRITES_EACH, probe_store
from tests.fakes.clock import FakeClock
from tests.fakes.store import FaultyStore

pytestmark = pytest.mark.looptime


@pytest.mark.proves("fault 8")
async def test_a_store_that_is_away_and_its_return_are_noticed_without_any_request() -> None:
    """Within one interval each."""
    store = FaultyStore(clock=FakeClock())
    probing = asyncio.create_task(probe_store(store))
    seen = []
    for away in (False, True, False):
        store.away = away
        await asyncio.sleep(EVERY + 1)
        seen.append(store.health.problem)
    probing.cancel()
    assert seen == ["", "the disk is away", ""]


async def test_a_full_disk_is_noticed_too_although_it_can_be_read() -> None:
    """Every so many probes one writes."""
    store = FaultyStore(clock=FakeClock())
    probing = asyncio.create_task(probe_store(store))
    await asyncio.sleep(EVERY / 2)
    store.full = True
    await asyncio.sleep(WRITES_EACH * EVERY)
    probing.cancel()
    assert store.health.problem == "the disk is full"
