"""Models that are served by gRPC: an error inside a 200 is an error."""

import grpc
import pytest

from controller.demo.processes import Children
from tests.integration.world import QUICK, world
from tests.support.grpc_model import GrpcModelServer, steady_calls
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("fault", ["it dies", pytest.param("it hangs", marks=pytest.mark.soak)])
async def test_a_canary_that_gives_no_answer_is_taken_back(processes: Children, fault: str) -> None:
    """A server that is gone, or that takes calls and never answers: clients get statuses of Envoy's own."""
    v1, v2 = GrpcModelServer("v1"), GrpcModelServer("v2")
    for server in (v1, v2):
        await server.start()
    places = {"v1": v1.address, "v2": v2.address}
    async with (
        world(processes, policy=QUICK, served="grpc", endpoints=places) as at,
        steady_calls(at.entry, 100) as seen,
    ):
        await wait_until(lambda: seen["v1"] > 20)
        await at.start()
        await at.reach("PROGRESSING")
        if fault == "it dies":
            await v2.crash()
        else:
            v2.hangs = True
        await at.reach("ROLLED_BACK")
        v2_before = seen["v2"]
        v1_before = seen["v1"]
        await wait_until(lambda: seen["v1"] > v1_before + 50)
        assert seen["v2"] == v2_before
    for server in (v1, v2):
        await server.crash()


async def test_a_canary_that_fails_inside_http_200_is_taken_back(processes: Children) -> None:
    """INTERNAL is harm; INVALID_ARGUMENT, which is the caller's own fault, was none before."""
    v1, v2 = GrpcModelServer("v1"), GrpcModelServer("v2")
    for server in (v1, v2):
        await server.start()
    places = {"v1": v1.address, "v2": v2.address}
    async with (
        world(processes, policy=QUICK, served="grpc", endpoints=places) as at,
        steady_calls(at.entry, 100) as seen,
    ):
        await wait_until(lambda: seen["v1"] > 20)
        await at.start()
        await at.reach("PROGRESSING")
        v2.errors, v2.code = 0.5, grpc.StatusCode.INVALID_ARGUMENT
        await wait_until(lambda: seen["INVALID_ARGUMENT"] > 20)
        assert (await at.rollout()).traffic["v2"].errors == 0
        v2.code = grpc.StatusCode.INTERNAL
        told = await at.reach("ROLLED_BACK")
        assert "server errors" in told.phase_reason
        assert seen["INTERNAL"] > 0
        before = sum(seen.values())
        v1_before = seen["v1"]
        await wait_until(lambda: seen["v1"] > v1_before + 50)
        assert sum(seen.values()) - before <= seen["v1"] - v1_before + 10  # all but those under way
    for server in (v1, v2):
        await server.crash()
