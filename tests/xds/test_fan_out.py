"""A new snapshot reaches every stream, and nothing has to wait until it has."""

import asyncio

from controller.xds.fan_out import BATCH, FanOut


class Stream:
    """A stream that counts how often it was woken."""

    woken = 0

    def wake(self) -> None:
        """Once more."""
        self.woken += 1


async def test_other_work_has_its_turn_after_each_batch() -> None:
    """An answer that needs three turns of the loop does not wait for a thousand streams; each is woken once."""
    streams, fan_out = [Stream() for _ in range(1000)], FanOut()
    fan_out.start(streams)
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert sum(stream.woken for stream in streams) <= turn * BATCH
    assert sum(stream.woken for stream in streams[: 2 * BATCH]) == 2 * BATCH, "in order"
    for _ in range(1000 // BATCH):
        await asyncio.sleep(0)
    assert [stream.woken for stream in streams] == [1] * 1000


async def test_a_newer_snapshot_begins_again_and_one_that_ended_is_left_out() -> None:
    """Streams that were woken for the older one are woken once more; nobody is woken for both at the end."""
    streams, fan_out = [Stream() for _ in range(3 * BATCH)], FanOut()
    fan_out.start(streams)
    await asyncio.sleep(0)
    fan_out.start(streams)
    fan_out.forget(streams[-1])
    for _ in range(5):
        await asyncio.sleep(0)
    assert [stream.woken for stream in streams] == [2] * BATCH + [1] * (2 * BATCH - 1) + [0]


def test_without_streams_no_loop_is_needed() -> None:
    """The first view is published before the controller serves anyone."""
    FanOut().start(())
