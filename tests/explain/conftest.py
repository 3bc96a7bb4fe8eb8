"""Fixtures: a loop with a rollout; and the command line's own."""

from collections.abc import AsyncIterator

import pytest

from controller.store.memory import MemoryStore
from tests.cli.conftest import haldane, scorer, server
from tests.fakes.clock import FakeClock
from tests.runtime.world import World, rolling

__all__ = ["at", "clock", "haldane", "scorer", "server", "store"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
async def at(store: MemoryStore, clock: FakeClock) -> AsyncIterator[World]:
    """A loop with a rollout of v2 that has just started."""
    async with rolling(store, clock) as world:
        yield world
