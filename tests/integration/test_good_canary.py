"""A good canary climbs its steps and is promoted: seen at the clients, not only in the controller's own words."""

import math
import time
from functools import partial

import pytest

from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.harness.request_result import RequestResult
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.support.load import by_version, steady
from tests.support.model import Behaviour
from tests.support.system import SERVICE, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

STEPS = """\
  steps: [5%, 20%, 50%]
  approve: [20%, 50%, 100%]
  dwell: 1s
  warmup: 0s
  bake: 1s
  deadline: 3s
  on_insufficient: advance
  latency: {tolerance: 100%}
"""
"""Each step lasts until a person says yes, so that the split is what is tested, and not anybody's speed."""


@pytest.mark.parametrize("protocol", ["delta", pytest.param("sotw", marks=pytest.mark.soak)])
async def test_each_step_serves_its_share_and_no_request_fails(processes: Children, protocol: str) -> None:
    """At every step the canary's part of the answers is its weight, within four standard deviations."""
    async with running_system(processes, policy=STEPS, protocol=protocol) as system, steady(system.entry, 150) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        for weight in (500, 2000, 5000):
            await wait_until(partial(system.serves, weight, "AWAITING_APPROVAL"), 60.0)
            seen = await answered_from_now(load, 400)
            share, expected = by_version(seen)["v2"] / len(seen), weight / 10_000
            assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / len(seen)), (weight, share)
            await system.stubs.rollouts.Approve(admin.RolloutRequest(service=SERVICE, reason="looks good"))
        await system.reach("PROMOTED")
        assert by_version(await answered_from_now(load, 50)) == {"v2": 50}
        assert [a for a in load.results if not a.ok] == []
        kinds = [kind for kind in await system.kinds() if kind not in ("approval_needed", "service_applied")]
        assert kinds == [
            *("rollout_started", "rollout_warm", "approved", "approved", "approved", "bake_started", "promoted"),
        ]


async def answered_from_now(load: LoadGenerator, count: int) -> list[RequestResult]:
    """So many answers to requests that are sent from now on."""
    now = time.monotonic()
    await wait_until(lambda: sum(a.sent > now for a in load.results[-count - 100 :]) >= count, 30.0)
    return [a for a in load.results if a.sent > now][:count]


@pytest.mark.soak
async def test_a_cold_start_is_no_harm(processes: Children) -> None:
    """A model that is slow until its caches are full: in the warm-up latency is not judged, after it all is well."""
    policy = (
        "  steps: [30%]\n  dwell: 1s\n  warmup: 8s\n  bake: 1s\n  latency: {tolerance: 100%}\n"
        "  deadline: 15s\n  on_insufficient: advance\n"
    )
    async with running_system(processes, policy=policy) as system, steady(system.entry, 100) as load:
        system.models["v2"].behaviour = Behaviour(delay=0.4)
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await wait_until(lambda: system.models["v2"].seen > 60)
        system.models["v2"].behaviour = Behaviour()
        await system.reach("PROMOTED")
        slow = [a for a in load.results if a.version == "v2" and a.milliseconds > 400]
        assert len(slow) >= 60
        assert "rollback" not in await system.kinds()


@pytest.mark.soak
async def test_a_good_canary_is_promoted_by_proof(processes: Children) -> None:
    """No deadline helps it: every gate opens by evidence, from the reports of a real Envoy."""
    policy = "  steps: [30%]\n  dwell: 1s\n  warmup: 1s\n  bake: 1s\n"
    async with running_system(processes, policy=policy) as system, steady(system.entry, 250) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        told = await system.reach("PROMOTED", 60.0)
        assert dict(told.weights) == {"v2": 10_000, "v1": 0}
        (advanced,) = [event for event in await system.events() if event.kind == "promotion_started"]
        assert "shown to be no worse" in advanced.why
        assert by_version(await answered_from_now(load, 50)) == {"v2": 50}
        assert [a for a in load.results if not a.ok] == []
