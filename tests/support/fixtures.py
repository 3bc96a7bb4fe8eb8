"""Fixtures that several folders import: a clock and an empty memory store that uses it."""

import pytest

from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock

__all__ = ["clock", "store"]


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test controls."""
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    """An empty store, which outlives the controllers of the test."""
    return MemoryStore(clock=clock)
