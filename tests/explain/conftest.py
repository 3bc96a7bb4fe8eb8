"""Fixtures: a loop with a rollout; and the command line's own."""

from collections.abc import AsyncIterator

import pytest

from controller.store.memory import MemoryStore
from tests.cli.conftest import haldane, scorer, server
from tests.loop.world import TwoClocks, World, rolling

__all__ = ["at", "clock", "haldane", "scorer", "server", "store"]


@pytest.fixture
def clock() -> TwoClocks:
    return TwoClocks()


@pytest.fixture
def store(clock: TwoClocks) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
async def at(store: MemoryStore, clock: TwoClocks) -> AsyncIterator[World]:
    """A loop with a rollout of v2 that has just started."""
    async with rolling(store, clock) as world:
        yield world
