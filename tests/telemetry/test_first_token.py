"""The time to the first token, as a real Envoy reports it: to the first byte of the body, once the response ends."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest

from controller.demo.harness.child_processes import Children
from tests.support.envoy import EnvoyProcess
from tests.support.model import PART, Behaviour, ModelServer
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.telemetry.telemetry_server import TelemetryServer, Totals, static_bootstrap, telemetry_server
from tests.telemetry.test_response_endings import send, serve_call

pytestmark = pytest.mark.envoy
StartModel = Callable[[str], Awaitable[ModelServer]]


@asynccontextmanager
async def timed_envoy(
    processes: Children, address: str, *, http2: bool = False
) -> AsyncIterator[tuple[int, TelemetryServer, Totals]]:
    """An Envoy in front of v2 that reports; its port, and what comes of it."""
    entry, totals = free_port(), Totals()
    async with telemetry_server("v1", "v2") as telemetry:
        bootstrap = static_bootstrap(telemetry, entry, {"v2": address}, http2=http2)
        envoy = EnvoyProcess(processes, bootstrap)
        await envoy.start()
        yield entry, telemetry, totals


async def reported(telemetry: TelemetryServer, totals: Totals, count: int) -> Counter[float]:
    """The times to the first token, once there are so many."""

    def all_arrived() -> bool:
        totals.read(telemetry)
        return totals.ttft.get("v2", Counter()).total() >= count

    await wait_until(all_arrived)
    return totals.ttft["v2"]


@pytest.mark.parametrize("body", ["chunked", "sse"])
async def test_it_ends_with_the_first_byte_of_the_body(
    processes: Children, model_server: StartModel, body: str
) -> None:
    """Neither with the headers, which come at once, nor with the last byte, which comes 200 ms later. In the buckets of
    the bootstrap, 10 % wide."""
    model = await model_server("v2")
    async with timed_envoy(processes, model.address) as (entry, telemetry, totals):
        model.behaviour = Behaviour(body=body, first=0.08, lasts=(0.2, 0.2))
        assert await send(entry, 20) == {"ok": 20}
        edges = await reported(telemetry, totals, 20)
        assert 78 <= min(edges) <= 140  # the machine may be busy
        await wait_until(lambda: bool(totals.read(telemetry)) or totals.latency["v2"].total() == 20)
        assert min(totals.latency["v2"]) >= 275


async def test_it_is_of_good_responses_with_a_body_alone(processes: Children, model_server: StartModel) -> None:
    """An error has none, nor has a client that left before; one that left after it has."""
    model = await model_server("v2")
    async with timed_envoy(processes, model.address) as (entry, telemetry, totals):
        for status in (404, 500):
            model.behaviour = Behaviour(errors=1.0, status=status)
            assert await send(entry, 5) == {f"{status // 100}xx": 5}
        model.behaviour = Behaviour(body="sse", first=0.4)
        assert await send(entry, 5, give_up=0.2) == {"cancelled": 5}
        model.behaviour = Behaviour(body="sse", lasts=(0.4, 0.4))
        assert await send(entry, 3, give_up=0.2) == {"cancelled": 3}
        model.behaviour = Behaviour(body="sse", cut=1.0)
        assert await send(entry, 4) == {"broken": 4}
        model.behaviour = Behaviour()
        assert await send(entry, 6) == {"ok": 6}
        edges = await reported(telemetry, totals, 13)
        await asyncio.sleep(1.0)  # two more flushes, and nothing more comes
        totals.read(telemetry)
        assert edges.total() == 13


async def test_a_response_that_begins_before_its_request_has_ended_has_none(
    processes: Children, model_server: StartModel
) -> None:
    """There is nothing to measure from: Envoy counts nothing, and no negative time."""
    model = await model_server("v2")

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.3)
        yield b"}"

    async with timed_envoy(processes, model.address) as (entry, telemetry, totals):
        model.behaviour = Behaviour(body="sse", lasts=(0.1, 0.1))
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                url, headers = f"http://127.0.0.1:{entry}/", {"version": "v2"}
                async with session.post(url, data=slowly(), headers=headers) as response:
                    assert (response.status, len(await response.read())) == (200, 4 * len(PART))
        assert await send(entry, 5) == {"ok": 5}
        edges = await reported(telemetry, totals, 5)
        assert edges.total() == 5
        assert max(edges) < 60_000


async def test_calls_of_grpc_are_timed_to_their_first_message(processes: Children) -> None:
    """A whole call has a body."""
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(serve_call)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Model", {"Infer": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with timed_envoy(processes, f"127.0.0.1:{port}", http2=True) as (entry, telemetry, totals):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{entry}") as channel:
                infer = channel.unary_unary("/Model/Infer")
                for _ in range(5):
                    await infer(b"", metadata=(("version", "v2"), ("ending", "whole")))
            assert (await reported(telemetry, totals, 5)).total() == 5
    finally:
        await server.stop(None)
