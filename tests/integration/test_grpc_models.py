"""Models that are served by gRPC: an error inside a 200 is an error."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest

from controller.demo.harness.child_processes import Children
from tests.support.grpc_model import GrpcModelServer, steady_calls
from tests.support.system import QUICK, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy


@contextlib.asynccontextmanager
async def on_trial(processes: Children) -> AsyncIterator[tuple[System, GrpcModelServer, Counter[str]]]:
    """A rollout of the second of two gRPC servers, past its warm-up: the system, the canary, what callers have seen."""
    canary = GrpcModelServer("v2")
    servers = (GrpcModelServer("v1"), canary)
    places = {server.version: server.address for server in servers}
    async with (
        servers[0],
        canary,
        running_system(processes, policy=QUICK, served="grpc", endpoints=places) as system,
        steady_calls(system.entry, 100) as seen,
    ):
        await wait_until(lambda: seen["v1"] > 20)
        await system.start()
        await system.reach("PROGRESSING")
        yield system, canary, seen


@pytest.mark.parametrize("fault", ["it dies", pytest.param("it hangs", marks=pytest.mark.soak)])
async def test_a_canary_that_gives_no_answer_is_taken_back(processes: Children, fault: str) -> None:
    """A server that is gone, or that takes calls and never answers: clients get statuses of Envoy's own."""
    async with on_trial(processes) as (system, canary, seen):
        if fault == "it dies":
            await canary.crash()
        else:
            canary.hangs = True
        await system.reach("ROLLED_BACK")
        before = Counter(seen)
        await wait_until(lambda: seen["v1"] > before["v1"] + 50)
        assert seen["v2"] == before["v2"]


async def test_a_canary_that_fails_inside_http_200_is_taken_back(processes: Children) -> None:
    """INTERNAL is harm; INVALID_ARGUMENT, which is the caller's own fault, was none before."""
    async with on_trial(processes) as (system, canary, seen):
        canary.errors, canary.code = 0.5, grpc.StatusCode.INVALID_ARGUMENT
        await wait_until(lambda: seen["INVALID_ARGUMENT"] > 20)
        assert (await system.rollout()).traffic["v2"].errors == 0
        canary.code = grpc.StatusCode.INTERNAL
        told = await system.reach("ROLLED_BACK")
        assert "server errors" in told.phase_reason
        assert seen["INTERNAL"] > 0
        before = Counter(seen)
        await wait_until(lambda: seen["v1"] > before["v1"] + 50)
        assert seen.total() - before.total() <= seen["v1"] - before["v1"] + 10  # all but those under way
