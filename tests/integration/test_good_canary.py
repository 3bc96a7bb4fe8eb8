"""A good canary climbs its steps and is promoted: seen at the clients, not only in the controller's own words."""

import math
import time

import pytest

from controller.demo.processes import Children
from tests.integration.world import world
from tests.support.load import by_version, steady
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

STEPS = """\
  steps: [5%, 20%, 50%]
  dwell: 2s
  warmup: 0s
  bake: 1s
  deadline: 6s
  on_insufficient: advance
"""
"""Each step is left by time, so that the split is what is tested and not the judge's patience."""


@pytest.mark.parametrize("protocol", ["delta", "sotw"])
async def test_each_step_serves_its_share_and_no_request_fails(processes: Children, protocol: str) -> None:
    """At every step the canary's part of the answers is its weight, within four standard deviations."""
    async with world(processes, policy=STEPS, protocol=protocol) as at, steady(at.entry, 200) as load:
        await wait_until(lambda: len(load.answers) > 20)
        await at.start()
        entered: list[tuple[int, float]] = []

        async def promoted() -> bool:
            told = await at.rollout()
            weight = told.weights["v2"]
            if told.proxies_synced == told.proxies_total == 1 and (not entered or entered[-1][0] != weight):
                entered.append((weight, time.monotonic()))
            return told.phase == "PROMOTED"

        await wait_until(promoted, 30.0, every=0.05)
        over = time.monotonic()
        await wait_until(lambda: time.monotonic() - over > 0.5)
        assert [weight for weight, _ in entered] == [500, 2000, 5000, 10_000]
        ends = [since for _, since in entered[1:]] + [math.inf]
        for (weight, since), until in zip(entered, ends, strict=True):
            # Asked a moment after the step was seen, and answered before the next one was: it is surely of this step.
            inside = [a for a in load.answers if since + 0.2 < a.sent and a.ended < until - 0.3]
            share, expected = by_version(inside)["v2"] / len(inside), weight / 10_000
            assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / len(inside)), (weight, share)
        assert [a for a in load.answers if not a.ok] == []
        assert await at.kinds() == [
            *("service_applied", "rollout_started", "rollout_warm", "step_advanced", "step_advanced"),
            *("promotion_started", "bake_started", "promoted"),
        ]


async def test_a_good_canary_is_promoted_by_proof(processes: Children) -> None:
    """No deadline helps it: every gate opens by evidence, from the reports of a real Envoy."""
    policy = "  steps: [30%]\n  dwell: 1s\n  warmup: 1s\n  bake: 1s\n"
    async with world(processes, policy=policy) as at, steady(at.entry, 250) as load:
        await wait_until(lambda: len(load.answers) > 20)
        await at.start()
        told = await at.reach("PROMOTED", 60.0)
        assert dict(told.weights) == {"v2": 10_000, "v1": 0}
        (advanced,) = [event for event in await at.events() if event.kind == "promotion_started"]
        assert "shown to be no worse" in advanced.why
        since = time.monotonic()
        await wait_until(lambda: load.answers[-1].sent > since + 0.5)
        assert by_version(a for a in load.answers if a.sent > since) == {"v2": pytest.approx(125, abs=60)}
        assert [a for a in load.answers if not a.ok] == []
