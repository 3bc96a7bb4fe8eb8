"""Repeated work and the pauses between attempts."""

import asyncio
from itertools import islice, pairwise

import pytest

from controller.process.backoff import backoff
from controller.process.periodic import every, wait_and_clear

pytestmark = pytest.mark.looptime


async def test_work_is_repeated_at_intervals_until_it_fails() -> None:
    """At once, then after each pause; an error is raised to whoever runs it."""
    times: list[float] = []

    async def work() -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 3:
            raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        await every(5, work)
    assert [round(later - earlier) for earlier, later in pairwise(times)] == [5, 5]


async def test_an_event_ends_the_wait_and_is_cleared() -> None:
    """Set before or during the wait it ends at once; otherwise the time ends it."""
    event, start = asyncio.Event(), asyncio.get_running_loop().time()
    event.set()
    assert await wait_and_clear(event, 5)
    assert not event.is_set()
    asyncio.get_running_loop().call_later(2, event.set)
    assert await wait_and_clear(event, 5)
    assert not await wait_and_clear(event, 5)
    assert round(asyncio.get_running_loop().time() - start) == 7


def test_pauses_double_up_to_the_longest() -> None:
    """Each is at most its step's full length, and at least half of it; without spread it is exact."""
    assert list(islice(backoff(1, 5, spread=0), 5)) == [1, 2, 4, 5, 5]
    for pause, most in zip(backoff(1, 60), [1, 2, 4, 8, 16, 32, 60, 60], strict=False):
        assert most / 2 <= pause <= most
