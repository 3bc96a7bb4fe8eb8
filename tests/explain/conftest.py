"""Fixtures: a loop with a rollout; and the command line's own."""

from collections.abc import AsyncIterator

import pytest

from controller.store.memory import MemoryStore
from tests.cli.conftest import haldane, scorer, server
from tests.fakes.clock import FakeClock
from tests.support.fixtures import clock, store
from tests.support.loop_harness import LoopHarness, running_rollout

__all__ = ["clock", "haldane", "harness", "scorer", "server", "store"]


@pytest.fixture
async def harness(store: MemoryStore, clock: FakeClock) -> AsyncIterator[LoopHarness]:
    """A loop with a rollout of v2 that has just started."""
    async with running_rollout(store, clock) as started:
        yield started
