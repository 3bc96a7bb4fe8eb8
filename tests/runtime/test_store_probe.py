"""The pulse: whether the store answers is known also while nothing is written."""

import asyncio

import pytest

from controller.runtime.store_probe import EVERY, probe_store
from tests.fakes.clock import FakeClock
from tests.fakes.meter import FakeMeter
from tests.fakes.store import FaultyStore

pytestmark = pytest.mark.looptime


@pytest.mark.proves("fault 8")
async def test_a_store_that_is_away_is_told_of_and_so_is_its_return() -> None:
    """And while it was never away nothing is said, since a full disk answers, too: writes say what it is worth."""
    store, figures = FaultyStore(clock=FakeClock()), FakeMeter()
    feeling = asyncio.create_task(probe_store(store, figures))
    seen = []
    for away in (False, True, False):
        store.away = away
        await asyncio.sleep(2 * EVERY + 1)
        seen.append(figures.up[-1:])
    feeling.cancel()
    assert seen == [[], [False], [True]]
