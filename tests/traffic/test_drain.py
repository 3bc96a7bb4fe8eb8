"""Streams that are under way on a canary when it is rolled back: they end as they would have, and are counted."""

import asyncio

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import running_system
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import get

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [90%]
  dwell: 60s
  warmup: 1s
"""


@pytest.mark.parametrize("protocol", ["delta", pytest.param("sotw", marks=pytest.mark.soak)])
async def test_streams_outlive_a_rollback_and_are_counted(processes: Children, protocol: str) -> None:
    """They are shown while they last; the ledger says how many there were after a while, and when the last ended."""
    async with running_system(processes, policy=POLICY, protocol=protocol, more="streaming: true\n") as system:
        async with steady(system.entry, 50):
            await system.start()
            await system.reach("PROGRESSING")
        system.models["v2"].behaviour = Behaviour(body="sse", lasts=(20.0, 20.0))

        async def on_the_canary() -> int:
            return (await system.rollout()).traffic["v2"].in_progress

        async with asyncio.TaskGroup() as clients:
            streams = [clients.create_task(get(system.entry, timeout=60.0)) for _ in range(20)]

            async def some() -> bool:
                return await on_the_canary() > 5

            await wait_until(some)
            assert (await system.haldane("rollback", "fraud-scorer", "--reason", "enough")).code == 0
            await system.reach("ROLLED_BACK")
            left = await on_the_canary()
            assert left > 5
            assert f"{left} requests of v2 in progress" in (await system.haldane("get", "fraud-scorer")).out
            assert (await get(system.entry)).version == "v1"
        replies = [stream.result() for stream in streams]
        assert all(reply.status == 200 and reply.whole for reply in replies)
        assert sum(reply.version == "v2" for reply in replies) == left

        async def over() -> bool:
            return "drained" in await system.kinds()

        await wait_until(over)
        said = {event.kind: event.why for event in await system.events()}
        assert said["draining"].startswith(f"{left} requests of v2 still in progress")
        assert said["drained"].startswith("the last request of v2 has ended")
        assert "in progress" not in (await system.haldane("get", "fraud-scorer")).out
