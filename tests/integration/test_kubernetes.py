"""Versions whose endpoints are pods: a controller, a real Envoy, and an API server that goes away."""

from pathlib import Path

import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.fakes.kubernetes_api import Plain, fake_kubernetes, slice_of
from tests.support.load import steady
from tests.support.model import ModelServer
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "kubernetes.yaml"


def pods(service: str, *servers: ModelServer) -> list[Plain]:
    """A slice for each of these servers, as where each pod has another port: they are all on one address."""
    slices = [slice_of(service, "127.0.0.1", name=f"{service}-{s.port}", port=s.port) for s in servers]
    return slices or [slice_of(service, name=f"{service}-none")]


async def v1(system: System) -> admin.EndpointSource:
    """What the controller says of the source of v1."""
    shown = await system.stubs.catalog.GetService(admin.GetServiceRequest(service=SERVICE), wait_for_ready=True)
    return shown.sources["v1"]


async def test_endpoints_follow_the_pods(processes: Children) -> None:
    """Under load: a rolling update, the API server away meanwhile, a canary without pods that gets some. Not one
    request fails, and the ledger has a line for the version that was empty and none for pods."""
    old, new = ModelServer("v1"), ModelServer("v1")
    for server in (old, new):
        await server.start()
    try:
        async with fake_kubernetes() as api:
            settings = {"HALDANE_KUBERNETES_API": api.url}
            async with running_system(processes, settings=settings) as system, steady(system.entry, 100) as load:
                text = EXAMPLE.read_text().replace("service: summarizer\n", f"service: {SERVICE}\n")
                (first,) = pods("summarizer-v1", old)
                api.put(first)
                text = text.replace("10000", str(system.entry))
                await system.stubs.catalog.ApplyService(admin.ApplyServiceRequest(yaml=text, reason="test"))
                await wait_until(lambda: old.seen > 20)
                (second,) = pods("summarizer-v1", new)
                api.put(second)
                await wait_until(lambda: new.seen > 20)
                api.delete(first["metadata"]["name"])
                said = await wait_until(lambda: known(system, 1))
                assert (said.source, said.text) == ("kubernetes ml/summarizer-v1:http", "")

                await api.stop()
                said = await wait_until(lambda: problem(system))
                assert said.endpoints == 1
                assert said.text.startswith("v1 has the 1 endpoint that were read last: kubernetes")
                assert "cannot connect" in said.text
                seen = new.seen
                await wait_until(lambda: new.seen > seen + 20)
                await old.crash()
                await api.start()

                await system.start()
                await wait_until(lambda: blocked(system))
                (third,) = pods("summarizer-v2", system.models["v2"])
                api.put(third)
                await wait_until(lambda: system.models["v2"].seen)
                kinds = await system.kinds()
                assert [kind for kind in kinds if kind.startswith("endpoints_")] == ["endpoints_back"]
            assert not [answer for answer in load.results if not answer.ok]
    finally:
        for server in (old, new):
            await server.crash()


async def known(system: System, number: int) -> admin.EndpointSource | None:
    """What is said of the source of v1 once it has so many endpoints."""
    said = await v1(system)
    return said if said.endpoints == number else None


async def problem(system: System) -> admin.EndpointSource | None:
    """What is said of the source of v1 once it has a problem."""
    said = await v1(system)
    return said if said.problem else None


async def blocked(system: System) -> bool:
    """Whether the canary waits for an endpoint."""
    told = await system.rollout()
    return told.blocker.kind == "no_healthy_upstream" and told.phase == "WARMING"
