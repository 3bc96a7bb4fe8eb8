"""A shadow step, by the whole system and a real Envoy: the canary is judged by copies before any client sees it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.model import Behaviour
from tests.support.system import System, running_system
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import get_many

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [shadow 2s, 50%]
  dwell: 1s
  warmup: 1s
  patience: 0s
  bake: 1s
  errors: {margin: 5%}
  latency: {tolerance: 100%}
"""
MIRROR = "mirror: {to: v2, share: 100%}\n"


class Clients:
    """What clients have seen: by version, and every status."""

    def __init__(self) -> None:
        self.versions: dict[str | None, int] = {}
        self.statuses: dict[int, int] = {}

    async def load(self, port: int) -> None:
        """Send requests until cancelled."""
        while True:
            for reply in await get_many(port, 40):
                self.versions[reply.version] = self.versions.get(reply.version, 0) + 1
                self.statuses[reply.status] = self.statuses.get(reply.status, 0) + 1


@contextlib.asynccontextmanager
async def under_load(system: System) -> AsyncIterator[Clients]:
    """Clients that go on until the end of the block."""
    clients = Clients()
    load = asyncio.create_task(clients.load(system.entry))
    try:
        yield clients
    finally:
        load.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await load


@pytest.fixture
def shadowed(processes: Children) -> contextlib.AbstractAsyncContextManager[System]:
    return running_system(processes, policy=POLICY, more=MIRROR)


async def test_a_canary_that_fails_on_copies_is_rolled_back_and_no_client_sees_it(
    shadowed: contextlib.AbstractAsyncContextManager[System],
) -> None:
    async with shadowed as system, under_load(system) as clients:
        system.models["v2"].behaviour = Behaviour(errors=1.0)
        await system.start()
        told = await system.reach("ROLLED_BACK")
        assert told.weights["v2"] == 0
        assert [event.kind for event in await system.events()].count("step_advanced") == 0
        assert system.models["v2"].seen > 0
        assert (set(clients.versions), set(clients.statuses)) == ({"v1"}, {200})


async def test_a_good_canary_goes_through_to_its_promotion(
    shadowed: contextlib.AbstractAsyncContextManager[System],
) -> None:
    async with shadowed as system, under_load(system) as clients:
        await system.start()

        async def copied() -> bool:
            told = await system.rollout()
            assert (told.weights["v2"], list(told.steps)) == (0, [0, 5000])
            return told.unjudged["v2/mirror"].requests > 0 and told.unjudged["v2/mirror"].p50_ms > 0

        await wait_until(copied)
        assert set(clients.versions) == {"v1"}
        await system.reach("PROMOTED")
        assert set(clients.statuses) == {200}
        moved = [event.why for event in await system.events() if event.kind == "step_advanced"]
        assert len(moved) == 1
