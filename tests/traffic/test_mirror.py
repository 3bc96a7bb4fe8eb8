"""Copies of requests, by a real Envoy: nobody waits for them, and a version with weight gets none."""

import asyncio
import time

import pytest

from controller.core.model.route_rules import Mirror
from controller.demo.harness.child_processes import Children
from tests.support.model import Behaviour
from tests.support.system import running_system
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import envoy_in_sync, get_many
from tests.xds.envoy_under_load import ServerFactory

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_copies_reach_a_version_without_weight_alone(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """All or a share of the requests; clients get stable's responses as before, however the copies fare."""
    v1, v2 = await model_server("v1"), await model_server("v2")
    versions = {"v1": [v1.address], "v2": [v2.address]}
    async with envoy_in_sync(
        processes, protocol, lambda e: e.fraud(versions=versions, mirror=Mirror(to="v2", share=10_000))
    ) as envoy:
        replies = await get_many(envoy.port, 40)
        assert {(reply.status, reply.version) for reply in replies} == {(200, "v1")}
        await wait_until(lambda: v2.seen == 40)
        v2.behaviour = Behaviour(hang=1.0)
        begun = time.monotonic()
        assert {reply.status for reply in await get_many(envoy.port, 40)} == {200}
        assert time.monotonic() - begun < 5.0  # the service's timeout: nobody has waited for a copy
        await envoy.publish_and_sync(envoy.fraud(versions=versions, mirror=Mirror(to="v2", share=2500)))
        await asyncio.sleep(0)
        v2.behaviour, seen = Behaviour(), v2.seen
        await get_many(envoy.port, 200)
        await wait_until(lambda: v2.seen > seen + 20)
        assert v2.seen < seen + 90  # a quarter of 200, within six standard deviations
        mirrored = envoy.fraud(versions=versions, mirror=Mirror(to="v2", share=10_000), canary=1)
        await envoy.publish_and_sync(mirrored)
        seen = v2.seen
        await get_many(envoy.port, 40)
        assert v2.seen <= seen + 3  # the canary's own requests: 0.01 % of 40


async def test_copies_are_shown_apart_and_not_judged(processes: Children) -> None:
    """In the API beside the version's own requests, of which there are none."""
    async with running_system(processes, more="mirror: {to: v2, share: 100%}\n") as system:

        async def shown() -> bool:
            """What comes before the proxy's first load report is in none: so requests go on."""
            await get_many(system.entry, 10)
            told = await system.rollout()
            return told.unjudged["v2/mirror"].requests >= 20 and told.traffic["v1"].requests >= 20

        await wait_until(shown)
        assert (await system.rollout()).traffic["v2"].requests == 0
