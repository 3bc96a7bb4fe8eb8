"""The pulse: whether the store answers is known also while nothing is written."""

import asyncio

import pytest

from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.runtime.store_probe import EVERY, feel_the_store
from controller.store.memory import MemoryStore
from tests.loop.world import Figures, TwoClocks

pytestmark = pytest.mark.looptime


class Away(MemoryStore):
    """A store that is away when the test says so."""

    away = False

    async def load(self) -> View:
        if self.away:
            raise StoreLost("the disk has not answered")
        return await super().load()


async def test_a_store_that_is_away_is_told_of_and_so_is_its_return() -> None:
    """And while it was never away nothing is said, since a full disk answers, too: writes say what it is worth."""
    store, figures = Away(clock=TwoClocks()), Figures()
    feeling = asyncio.create_task(feel_the_store(store, figures))
    seen = []
    for away in (False, True, False):
        store.away = away
        await asyncio.sleep(2 * EVERY + 1)
        seen.append(figures.up[-1:])
    feeling.cancel()
    assert seen == [[], [False], [True]]
