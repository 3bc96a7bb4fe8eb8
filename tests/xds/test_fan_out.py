"""A new snapshot reaches every stream, and nothing has to wait until it has, but for a rollback."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from controller.process.gc_tuning import PUSHING, THRESHOLDS
from controller.process.right_of_way import RightOfWay
from controller.xds import fan_out as module
from controller.xds.fan_out import BATCH, FanOut
from tests.support.waiting import wait_until


class Stream:
    """A stream that counts how often it was woken."""

    woken = 0

    def wake(self) -> None:
        """Once more."""
        self.woken += 1


async def test_other_work_has_its_turn_after_each_batch() -> None:
    """An answer that needs three turns of the loop does not wait for a thousand streams; each is woken once."""
    streams, fan_out = [Stream() for _ in range(1000)], FanOut(RightOfWay())
    fan_out.start(streams)
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert sum(stream.woken for stream in streams) <= turn * BATCH
    assert sum(stream.woken for stream in streams[: 2 * BATCH]) == 2 * BATCH, "in order"
    for _ in range(1000 // BATCH):
        await asyncio.sleep(0)
    assert [stream.woken for stream in streams] == [1] * 1000


async def test_a_newer_snapshot_wakes_all_and_one_that_ended_is_left_out() -> None:
    """Streams that were woken for the older one are woken once more; nobody is woken for both at the end."""
    streams, fan_out = [Stream() for _ in range(3 * BATCH)], FanOut(RightOfWay())
    fan_out.start(streams)
    await asyncio.sleep(0)
    fan_out.start(streams)
    fan_out.forget(streams[-1])
    for _ in range(5):
        await asyncio.sleep(0)
    assert [stream.woken for stream in streams] == [2] * BATCH + [1] * (2 * BATCH - 1) + [0]


@pytest.mark.proves("track-record 77")
async def test_no_stream_starves_while_snapshots_follow_each_other() -> None:
    """With a new snapshot in every turn each stream is still woken as often as every other."""
    streams, fan_out = [Stream() for _ in range(4 * BATCH)], FanOut(RightOfWay())
    for _ in range(8):
        fan_out.start(streams)
        await asyncio.sleep(0)
    assert {stream.woken for stream in streams[: 2 * BATCH]} == {stream.woken for stream in streams[2 * BATCH :]} == {2}


async def test_a_rollback_has_the_right_of_way_until_every_stream_is_woken() -> None:
    """What waits has its turn as soon as the last stream is woken; an ordinary push holds up nothing."""
    way = RightOfWay()
    fan_out, streams = FanOut(way), [Stream() for _ in range(5 * BATCH)]
    for urgent in (False, True):
        fan_out.start(streams, urgent=urgent)
        before = sum(stream.woken for stream in streams)
        await way.turn()
        assert (sum(stream.woken for stream in streams) - before == 5 * BATCH) is urgent
        for _ in range(10):
            await asyncio.sleep(0)


async def test_without_streams_the_right_of_way_is_given_up_at_once() -> None:
    """The commit of a rollback claims it for the push that follows."""
    way = RightOfWay()
    way.claim()
    FanOut(way).start((), urgent=True)
    await asyncio.wait_for(way.turn(), 0.5)


def test_without_streams_no_loop_is_needed() -> None:
    """The first view is published before the controller serves anyone."""
    FanOut(RightOfWay()).start(())


@pytest.fixture
def tuned() -> Iterator[None]:
    """A process whose garbage collector is tuned."""
    before = gc.get_threshold()
    gc.set_threshold(*THRESHOLDS)
    yield
    gc.set_threshold(*before)


async def test_garbage_is_collected_after_a_push_and_not_in_it(tuned: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan in the middle of it would stop it; the limit is back once the ACKs have come."""
    monkeypatch.setattr(module, "SETTLING", 0.05)
    fan_out = FanOut(RightOfWay())
    fan_out.start([Stream() for _ in range(2 * BATCH)])
    assert gc.get_threshold() == PUSHING
    fan_out.start([Stream()])
    await wait_until(lambda: gc.get_threshold() == THRESHOLDS)


async def test_a_process_that_is_not_tuned_stays_so() -> None:
    """The tests' own, for one."""
    before = gc.get_threshold()
    FanOut(RightOfWay()).start([Stream()])
    assert gc.get_threshold() == before != THRESHOLDS
