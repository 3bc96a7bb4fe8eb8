"""Endpoints that are out hold a rollout up and never break it: a real Envoy checks the health of real servers."""

import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.support.load import steady
from tests.support.model import Behaviour, ModelServer
from tests.support.system import FLEET, SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 2s
  warmup: 0s
  bake: 0s
  deadline: 5s
  on_insufficient: advance
"""
HEALTH = "health: {http: /health, every: 100ms, timeout: 100ms}"


def checked(system: System, *stable: ModelServer) -> str:
    """The service file with health checks; v1 has these servers."""
    one = ", ".join(f'"{server.address}"' for server in stable)
    return (
        f"service: {SERVICE}\nfleets: [{FLEET}]\nlisten: {{port: {system.entry}}}\nstable: v1\nversions:\n"
        f"  v1: {{endpoints: [{one}], {HEALTH}}}\n"
        f'  v2: {{endpoints: ["{system.models["v2"].address}"], {HEALTH}}}\n'
        f"policy:\n{POLICY}"
    )


@pytest.mark.proves("fault 41")
async def test_a_rollout_waits_for_the_endpoints_that_it_needs(processes: Children) -> None:
    """No weight for a canary that fails its health checks; no step while stable has lost one endpoint of two."""
    second = ModelServer("v1")
    await second.start()
    try:
        async with running_system(processes) as system, steady(system.entry, 100) as load:
            canary = system.models["v2"]
            canary.behaviour = Behaviour(health=503)
            text = checked(system, system.models["v1"], second)
            await system.stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=text, reason="test"))

            async def endpoints(version: str) -> tuple[int, int]:
                shown = await system.stubs.catalog.GetService(admin.GetServiceRequest(service=SERVICE))
                return shown.endpoints[version].healthy, shown.endpoints[version].total

            async def are(version: str, healthy: int, total: int) -> bool:
                return await endpoints(version) == (healthy, total)

            async def blocked_by(kind: str) -> admin.Rollout | None:
                told = await system.rollout()
                return told if told.blocker.kind == kind else None

            await wait_until(lambda: are("v1", 2, 2))
            await wait_until(lambda: are("v2", 0, 1))
            await system.start()
            told = await wait_until(lambda: blocked_by("no_healthy_upstream"))
            assert (told.phase, told.weights["v2"]) == ("WARMING", 0)
            assert canary.seen == 0
            canary.behaviour = Behaviour()
            await system.reach("PROGRESSING")
            await second.crash()
            told = await wait_until(lambda: blocked_by("capacity"))
            assert (told.blocker.healthy, told.blocker.needed, list(told.blocker.names)) == (1, 2, ["v1"])
            assert (told.weights["v2"], await endpoints("v1")) == (2000, (1, 2))
            assert any(detail.code == "endpoints_out" for detail in told.details)
            seen = len(load.results)
            await wait_until(lambda: len(load.results) > seen + 300)
            assert (await system.rollout()).weights["v2"] == 2000
            await second.start()
            await system.reach("PROMOTED")
    finally:
        await second.crash()
