"""How responses end after their headers, as a real Envoy reports it: each one counts once, as what its client saw."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
import grpc
import pytest

from controller.demo.harness.child_processes import Children
from tests.support.envoy import EnvoyProcess
from tests.support.model import Behaviour, ModelServer
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.telemetry.http2_server import http2_server
from tests.telemetry.raw_http1_server import raw_http1_server
from tests.telemetry.telemetry_server import TelemetryServer, Totals, static_bootstrap, telemetry_server

pytestmark = pytest.mark.envoy
StartModel = Callable[[str], Awaitable[ModelServer]]
BODIES = ("plain", "chunked", "sse")


async def send(entry: int, count: int, *, give_up: float = 5.0, **headers: str) -> Counter[str]:
    """So many requests to v2, ten at a time: how many responses were whole, broken, given up on, or errors."""
    places = asyncio.Semaphore(10)
    timeout = aiohttp.ClientTimeout(total=give_up)

    async def one() -> str:
        url = f"http://127.0.0.1:{entry}/"
        async with places, aiohttp.ClientSession(timeout=timeout) as session:
            try:
                async with session.get(url, headers={"version": "v2", **headers}, allow_redirects=False) as response:
                    await response.read()
                    return "ok" if response.status == 200 else f"{response.status // 100}xx"
            except TimeoutError:
                return "cancelled"
            except aiohttp.ClientPayloadError:
                return "broken"

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


async def check(
    telemetry: TelemetryServer,
    totals: Totals,
    seen: Counter[str],
    good: Callable[[], Awaitable[Counter[str]]],
    lost: int = 0,
) -> None:
    """Wait until what is reported of v2 is what the clients saw, and check that nothing more comes after it.

    `good` sends good requests, once the others are reported: what was counted as ok at its headers is taken out of
    those. It is called again while 4xx wait for more: their counter may arrive after the report of the good ones.
    `lost` requests were on an HTTP/2 connection that ended: Envoy counts them as never connected too.
    """

    def reported() -> Counter[str]:
        totals.read(telemetry)
        return +Counter({**totals.outcomes.get("v2", Counter()), "cancelled": totals.cancelled["v2"]})

    await wait_until(lambda: all(reported()[outcome] == seen[outcome] for outcome in ("broken", "cancelled", "5xx")))
    expected = seen.copy()

    def all_counted() -> bool:
        return reported().total() == expected.total()

    while True:
        expected.update(await good())
        await wait_until(all_counted)
        if reported()["4xx"] == expected["4xx"]:
            break
    await wait_until(lambda: reported() == expected)
    await asyncio.sleep(1.0)
    assert reported() == expected
    assert totals.started["v2"] == expected.total() + lost
    assert totals.in_progress["v2"] == 0


async def test_a_response_that_is_cut_after_its_headers_is_broken(
    processes: Children, model_server: StartModel
) -> None:
    """HTTP/1: with a length, chunked, and server-sent events. Responses after it restore the sums of the good ones."""
    v2, entry = await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        await EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v2": v2.address})).start()
        totals, seen = Totals(), Counter[str]()
        await totals.begin(telemetry)
        for body in BODIES:
            v2.behaviour = Behaviour(body=body, cut=0.3)
            answers = await send(entry, 60)
            assert answers["broken"] > 5
            seen += answers
        v2.behaviour = Behaviour(errors=0.5, status=503)
        seen += await send(entry, 20)
        v2.behaviour = Behaviour()
        await check(telemetry, totals, seen, lambda: send(entry, 100))


@pytest.mark.parametrize("idle_timeout", ["300s", "0.2s"])
async def test_a_response_that_the_proxy_ends_after_its_headers_is_broken(
    processes: Children, model_server: StartModel, idle_timeout: str
) -> None:
    """By the route's timeout, or by the idle timeout, which also ends requests without any response."""
    v2, entry = await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        text = static_bootstrap(telemetry, entry, {"v2": v2.address}, idle_timeout=idle_timeout)
        await EnvoyProcess(processes, text).start()
        totals, seen = Totals(), Counter[str]()
        await totals.begin(telemetry)
        for body in BODIES:
            v2.behaviour = Behaviour(body=body, stall=1.0)
            answers = await send(entry, 5)
            assert answers == {"broken": 5}
            seen += answers
        v2.behaviour = Behaviour(hang=1.0)
        answers = await send(entry, 5)
        assert answers == {"5xx": 5}
        v2.behaviour = Behaviour()
        await check(telemetry, totals, seen + answers, lambda: send(entry, 20))


async def test_a_client_that_leaves_is_no_failure(processes: Children, model_server: StartModel) -> None:
    """Before the headers and after them: cancelled, and neither ok nor an error."""
    v2, entry = await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        await EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v2": v2.address})).start()
        totals, seen = Totals(), Counter[str]()
        await totals.begin(telemetry)
        for behaviour in (Behaviour(hang=1.0), *(Behaviour(body=body, stall=1.0) for body in BODIES)):
            v2.behaviour = behaviour
            answers = await send(entry, 5, give_up=0.2)
            assert answers == {"cancelled": 5}
            seen += answers
        v2.behaviour = Behaviour()
        await check(telemetry, totals, seen, lambda: send(entry, 20))


ENDINGS = {
    "whole": "ok",
    "moved": "ok",
    "too many": "4xx",
    "garbage": "broken",
    "cut": "broken",
    "cut 404": "4xx",
    "cut 503": "5xx",
    "without a length": "ok",
    "garbage at once": "5xx",
}
"""How a response ends, and as what it counts."""


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_response_counts_by_its_status_and_its_end(processes: Children, ending: str) -> None:
    """Garbage in the middle is a broken response; a 4xx or a 5xx that is cut counts as if it were whole; and of a body
    without a length nobody can say whether it is."""
    entry = free_port()
    async with raw_http1_server() as port, telemetry_server("v1", "v2") as telemetry:
        await EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v2": f"127.0.0.1:{port}"})).start()
        totals = Totals()
        await totals.begin(telemetry)
        seen = await send(entry, 10, ending=ending)
        assert seen == (
            {"broken": 10} if "cut" in ending else {ENDINGS[ending]: 10} if ending != "moved" else {"3xx": 10}
        )
        await check(telemetry, totals, Counter({ENDINGS[ending]: 10}), lambda: send(entry, 30, ending="whole"))


async def test_http2_responses_that_pause_or_never_begin(processes: Children) -> None:
    """The idle timeout after the headers; a reset in the place of a response."""
    entry = free_port()
    async with http2_server() as port, telemetry_server("v1", "v2") as telemetry:
        text = static_bootstrap(telemetry, entry, {"v2": f"127.0.0.1:{port}"}, http2=True, idle_timeout="0.2s")
        await EnvoyProcess(processes, text).start()
        totals = Totals()
        await totals.begin(telemetry)
        seen = await send(entry, 5, ending="stalled") + await send(entry, 5, ending="reset at once")
        assert seen == {"broken": 5, "5xx": 5}
        await check(telemetry, totals, seen, lambda: send(entry, 30, ending="whole"))


async def test_http2_responses_that_are_reset_or_lost_are_broken(processes: Children) -> None:
    """A reset of the stream, the connection's end, the route's timeout, and a client that leaves."""
    entry = free_port()
    async with http2_server() as port, telemetry_server("v1", "v2") as telemetry:
        text = static_bootstrap(telemetry, entry, {"v2": f"127.0.0.1:{port}"}, http2=True)
        await EnvoyProcess(processes, text).start()
        totals, seen = Totals(), Counter[str]()
        await totals.begin(telemetry)
        for ending in ("reset", "stalled"):
            answers = await send(entry, 5, ending=ending)
            assert answers == {"broken": 5}
            seen += answers
        for _ in range(5):  # one after the other, since each takes its connection with it
            seen += await send(entry, 1, ending="closed")
        assert seen == {"broken": 15}
        seen += await send(entry, 5, ending="stalled", give_up=0.2)
        await check(telemetry, totals, seen, lambda: send(entry, 30, ending="whole"), lost=5)


async def test_broken_responses_count_without_any_good_ones(processes: Children, model_server: StartModel) -> None:
    """A load report counted them as ok before. They count at once, and the next good ones make up for it."""
    v2, entry = await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        await EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v2": v2.address})).start()
        totals = Totals()
        await totals.begin(telemetry)
        v2.behaviour = Behaviour(body="sse", stall=1.0)
        await send(entry, 10)
        await wait_until(lambda: totals.read(telemetry) and totals.outcomes["v2"]["broken"] == 10)
        v2.behaviour = Behaviour()
        await check(telemetry, totals, Counter(broken=10), lambda: send(entry, 20))


async def test_requests_in_progress_are_the_newest_number(processes: Children, model_server: StartModel) -> None:
    """While nothing else happens too, and they are gone with the proxy."""
    v2, entry = await model_server("v2"), free_port()
    async with telemetry_server("v1", "v2") as telemetry:
        envoy = EnvoyProcess(processes, static_bootstrap(telemetry, entry, {"v2": v2.address}))
        await envoy.start()
        totals = Totals()
        await totals.begin(telemetry)
        v2.behaviour = Behaviour(hang=1.0)
        hanging = asyncio.ensure_future(send(entry, 4))
        for _ in range(2):
            await wait_until(lambda: totals.read(telemetry) and totals.in_progress["v2"] == 4, 3.0, 0.02)
        await hanging
        await wait_until(lambda: totals.read(telemetry) and totals.in_progress["v2"] == 0)


async def serve_call(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """Answer well, with a status, or never: with the headers alone or without them, as the call's metadata `ending`
    says."""
    ending = dict(context.invocation_metadata() or ())["ending"]
    if ending in grpc.StatusCode.__members__:
        await context.abort(grpc.StatusCode[ending], "as asked for")
    if ending == "headers":
        await context.send_initial_metadata(())
    if ending != "whole":
        await asyncio.sleep(3600)
    return b""


async def call(entry: int, ending: str, cancel: bool = False) -> str:
    """One gRPC call to v2."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{entry}") as channel:
        under_way = channel.unary_unary("/model/Infer")(b"", metadata=(("version", "v2"), ("ending", ending)))
        if cancel:
            asyncio.get_running_loop().call_later(0.1, under_way.cancel)
        try:
            await under_way
        except grpc.aio.AioRpcError:
            return "5xx"
        except asyncio.CancelledError:
            return "cancelled"
        return "ok"


@pytest.mark.parametrize("idle_timeout", ["300s", "0.2s"])
async def test_grpc_calls_count_once_whoever_ends_them(processes: Children, idle_timeout: str) -> None:
    """Load reports count a call once it has ended, but not one that a timeout or its caller ended after its headers."""
    server, entry = grpc.aio.server(), free_port()
    infer = grpc.unary_unary_rpc_method_handler(serve_call)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("model", {"Infer": infer}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with telemetry_server("v1", "v2") as telemetry:
        text = static_bootstrap(telemetry, entry, {"v2": f"127.0.0.1:{port}"}, http2=True, idle_timeout=idle_timeout)
        await EnvoyProcess(processes, text).start()
        totals, seen = Totals(), Counter[str]()
        await totals.begin(telemetry)
        for ending in ("headers", "nothing"):
            seen.update([await call(entry, ending), await call(entry, ending, cancel=True)])
        assert seen == {"5xx": 2, "cancelled": 2}
        for ending in ("INTERNAL", "UNAVAILABLE", "INVALID_ARGUMENT", "NOT_FOUND"):
            await call(entry, ending)
        seen += Counter({"5xx": 2, "ok": 2})  # what is the caller's own mistake is a response

        async def whole() -> Counter[str]:
            return Counter([await call(entry, "whole") for _ in range(5)])

        await check(telemetry, totals, seen, whole)
    await server.stop(0)
