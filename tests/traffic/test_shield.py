"""A shielded canary fails, and no client sees it; the judge sees every attempt."""

import io
import time

import aiohttp
import grpc
import pytest
from aiohttp import web

from controller.demo.harness.child_processes import Children
from tests.support.grpc_model import METHOD, GrpcModelServer
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import running_system
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import envoy_in_sync, get_many, model
from tests.xds.envoy_under_load import ServerFactory

pytestmark = pytest.mark.envoy

DEAD = None
FAULTS = {
    "500": Behaviour(errors=1.0),
    "reset": Behaviour(reset=1.0),
    "hang": Behaviour(hang=1.0),
    "refused": DEAD,
}


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_fails_on_the_canary_is_answered_by_stable(
    processes: Children, model_server: ServerFactory, protocol: str, fault: Behaviour | None
) -> None:
    """Whatever the failure, and the response says so. Stable's own failures are not repeated."""
    v1, v2 = await model_server("v1"), await model_server("v2")
    versions = {"v1": [v1.address], "v2": [v2.address]}
    async with envoy_in_sync(
        processes, protocol, lambda e: e.fraud(versions=versions, shield=True, timeout=0.5, canary=5000)
    ) as envoy:
        replies = await get_many(envoy.port, 40)
        assert {(reply.status, reply.version) for reply in replies} == {(200, "v1"), (200, "v2")}
        if fault is DEAD:
            await v2.crash()
        else:
            v2.behaviour = fault
        seen = v1.seen
        replies = await get_many(envoy.port, 40)
        assert {(reply.status, reply.version) for reply in replies} == {(200, "v1")}
        assert v1.seen == seen + 40
        v1.behaviour, seen = Behaviour(errors=1.0), v1.seen
        await envoy.publish_and_sync(envoy.fraud(versions=versions, shield=True, timeout=0.5))
        assert {reply.status for reply in await get_many(envoy.port, 10)} == {500}
        assert v1.seen == seen + 10


async def read_and_fail(request: web.Request) -> web.Response:
    """A failure that comes when all of the request has come."""
    await request.read()
    return web.Response(status=500)


async def read_and_measure(request: web.Request) -> web.Response:
    """How long the request was."""
    return web.Response(text=str(len(await request.read())))


@pytest.mark.parametrize(("size", "reply"), [(4_000_000, (200, "4000000")), (9_000_000, (500, ""))])
async def test_a_request_with_a_body_is_repeated_whole(processes: Children, size: int, reply: tuple[int, str]) -> None:
    """Up to eight mebibytes. Longer ones are passed on whole and tried once: clients see the canary's failure."""
    async with model(read_and_measure) as v1, model(read_and_fail) as v2, aiohttp.ClientSession() as session:
        versions = {"v1": [v1], "v2": [v2]}
        async with envoy_in_sync(
            processes, "delta", lambda e: e.fraud(versions=versions, shield=True, timeout=5.0, canary=9999)
        ) as envoy:
            for _ in range(3):
                body = io.BytesIO(b"x" * size)
                async with session.post(f"http://127.0.0.1:{envoy.port}/", data=body) as response:
                    assert (response.status, await response.text()) == reply


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name, marks=() if name in ("500", "hang") else pytest.mark.soak)
        for name, fault in FAULTS.items()
    ],
)
async def test_a_shielded_canary_is_rolled_back_all_the_same(processes: Children, fault: Behaviour | None) -> None:
    """Not one request fails, before, at, or after the rollback; second attempts are shown apart."""
    policy = "  steps: [20%, 50%]\n  dwell: 30s\n  warmup: 1s\n  bake: 1s\n"
    async with (
        running_system(processes, policy=policy, more="shield: true\n") as system,
        steady(system.entry, 100, timeout=10.0) as load,
    ):
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 200, 30.0)
        begun = time.monotonic()
        if fault is DEAD:
            await system.models["v2"].crash()
        else:
            system.models["v2"].behaviour = fault
        told = await system.reach("ROLLED_BACK")
        assert dict(told.weights) == {"v1": 10_000, "v2": 0}
        assert told.unjudged["v1/shield"].requests > 0
        assert told.traffic["v2"].errors > 0
        gone = time.monotonic()
        await wait_until(lambda: load.results[-1].sent > gone + 1.0)
        assert [answer for answer in load.results if not answer.ok] == []
        assert {answer.version for answer in load.results if answer.sent > begun + 5.0} <= {"v1"}


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE])
async def test_a_failing_grpc_canary_is_answered_by_stable(processes: Children, code: grpc.StatusCode) -> None:
    """Its status is in the headers of an HTTP 200. What is the caller's own fault is not tried again."""
    async with GrpcModelServer("v1") as v1, GrpcModelServer("v2", errors=1.0, code=code) as v2:
        versions = {"v1": [v1.address], "v2": [v2.address]}
        async with (
            envoy_in_sync(
                processes,
                "delta",
                lambda e: e.fraud(versions=versions, shield=True, protocol="grpc", canary=5000),
            ) as envoy,
            grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel,
        ):
            call = channel.unary_unary(METHOD)
            assert {await call(b"", timeout=10.0) for _ in range(20)} == {b"v1"}
            v2.code = grpc.StatusCode.INVALID_ARGUMENT
            seen = {await outcome(call) for _ in range(30)}
            assert seen == {"v1", "INVALID_ARGUMENT"}


async def outcome(call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]) -> str:
    """The version that responded, or the status of the call."""
    try:
        return (await call(b"", timeout=10.0)).decode()
    except grpc.aio.AioRpcError as error:
        return error.code().name
