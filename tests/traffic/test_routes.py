"""What a service asks of its routes and its listener, by a real Envoy."""

import asyncio
import io
import json
import ssl
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from controller.core.model.route_rules import ListenTls, PathMatch, RequestHeaders, Retries
from controller.core.model.service import Listen
from controller.core.model.service_state import ServiceState
from controller.demo.harness.child_processes import Children
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import envoy_in_sync, get, get_many, model
from tests.xds.envoy_under_load import EnvoyUnderLoad

pytestmark = [pytest.mark.envoy, pytest.mark.parametrize("protocol", ["sotw", "delta"])]
PART = b"data: 1\n\n"


async def test_paths(processes: Children, protocol: str) -> None:
    """A prefix matches whole segments, an exact path itself alone."""
    paths = PathMatch(path="/v1/chat"), PathMatch(path="/v2/"), PathMatch(path="/ready", exact=True)
    async with (
        model() as place,
        envoy_in_sync(processes, protocol, lambda e: e.fraud(versions={"v1": [place]}, paths=paths)) as envoy,
    ):
        for path in ("/v1/chat", "/v1/chat/a", "/v1/chat?b", "/v2/a", "/ready", "/ready?x=1"):
            assert (await get(envoy.port, path)).status == 200, path
        for path in ("/v1/chatty", "/v1", "/v2", "/ready/a", "/"):
            assert (await get(envoy.port, path)).status == 404, path


async def stream(request: web.Request) -> web.StreamResponse:
    """Parts of an event stream; the request says when they come, in seconds: of the headers first."""
    times = [float(each) for each in request.query["at"].split(",")]
    begun = asyncio.get_running_loop().time()
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    for number, at in enumerate(times):
        await asyncio.sleep(max(0.0, begun + at - asyncio.get_running_loop().time()))
        await (response.write(PART) if number else response.prepare(request))
    return response


async def test_a_stream_lasts_longer_than_its_timeout(processes: Children, protocol: str) -> None:
    """The timeout is until its headers; then silence is what ends it, or its longest duration."""
    limits = {"timeout": 1.0, "idle_timeout": 1.5, "max_duration": 4.0}
    async with (
        model(stream) as place,
        envoy_in_sync(
            processes, protocol, lambda e: e.fraud(versions={"v1": [place]}, streaming=True, **limits)
        ) as envoy,
    ):
        whole, late, silent, long = await asyncio.gather(
            get(envoy.port, "/?at=0.1,1,2,3"),
            get(envoy.port, "/?at=1.3,1.4"),
            get(envoy.port, "/?at=0,0.1,3"),
            get(envoy.port, "/?at=0,1,2,3,3.9,5,6"),
        )
    assert (whole.status, whole.whole, whole.body) == (200, True, PART * 3)
    assert late.status == 504
    assert (silent.status, silent.whole, silent.body) == (200, False, PART)
    assert (long.status, long.whole, long.body) == (200, False, PART * 4)


async def test_without_streaming_the_timeout_is_of_the_whole(processes: Children, protocol: str) -> None:
    """It cuts a response that is still under way."""
    async with (
        model(stream) as place,
        envoy_in_sync(processes, protocol, lambda e: e.fraud(versions={"v1": [place]}, timeout=1.0)) as envoy,
    ):
        cut, whole = await asyncio.gather(get(envoy.port, "/?at=0,0.1,3"), get(envoy.port, "/?at=0,0.1,0.5"))
    assert (cut.status, cut.whole, cut.body) == (200, False, PART)
    assert (whole.status, whole.whole, whole.body) == (200, True, PART * 2)


@pytest.mark.parametrize("attempts", [0, 1])
async def test_a_dead_endpoint_costs_no_request(processes: Children, protocol: str, attempts: int) -> None:
    """What is refused is tried on another endpoint. Without retries one endpoint of three that is dead is seen."""
    async with model() as one, model() as two:
        versions = {"v1": [one, f"127.0.0.1:{free_port()}", two]}

        def state(envoy: EnvoyUnderLoad) -> ServiceState:
            return envoy.fraud(versions=versions, retry=Retries(attempts=attempts))

        async with envoy_in_sync(processes, protocol, state) as envoy:
            failed = [reply for reply in await get_many(envoy.port, 60) if reply.status != 200]
    assert bool(failed) is not bool(attempts)


async def test_a_request_of_some_megabytes_is_tried_again(processes: Children, protocol: str) -> None:
    """Whole: by itself Envoy keeps less of it than a batch of tensors has, and responds with 503 or 507."""

    async def measure(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async with model(measure) as place, aiohttp.ClientSession() as session:
        versions = {"v1": [place, f"127.0.0.1:{free_port()}"]}
        async with envoy_in_sync(processes, protocol, lambda e: e.fraud(versions=versions)) as envoy:
            for _ in range(12):
                body = io.BytesIO(b"x" * 4_000_000)
                async with session.post(f"http://127.0.0.1:{envoy.port}/", data=body) as response:
                    assert (response.status, await response.text()) == (200, "4000000")


async def test_headers_of_requests_and_responses(processes: Children, protocol: str) -> None:
    """Set, replaced, removed; and the version in the response, unless that is not wanted."""
    headers = RequestHeaders(add=(("x-model-tier", "100%"), ("x-known", "new")), remove=("x-secret",))
    async with model() as place:
        for wanted in (True, False):
            async with envoy_in_sync(
                processes,
                protocol,
                lambda e: e.fraud(
                    versions={"v1": [place]},
                    request_headers=headers,
                    version_header=wanted,  # noqa: B023
                ),
            ) as envoy:
                reply = await get(envoy.port, headers={"x-known": "old", "x-secret": "s", "x-kept": "k"})
                sent = {name.lower(): value for name, value in json.loads(reply.body)["headers"].items()}
                assert (sent["x-model-tier"], sent["x-known"], sent["x-kept"]) == ("100%", "new", "k")
                assert "x-secret" not in sent
                assert reply.version == ("v1" if wanted else "")


async def chat(request: web.Request) -> web.StreamResponse:
    """A WebSocket that sends back what it gets."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


async def test_a_websocket_outlives_the_timeout(processes: Children, protocol: str) -> None:
    """It is a stream: it is ended by silence."""
    async with (
        model(chat) as place,
        envoy_in_sync(
            processes,
            protocol,
            lambda e: e.fraud(
                versions={"v1": [place]}, streaming=True, timeout=1.0, idle_timeout=1.5, upgrades=("websocket",)
            ),
        ) as envoy,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{envoy.port}/") as socket,
    ):
        for number in range(5):
            await asyncio.sleep(0.5)  # beyond the timeout, within the idle timeout
            await socket.send_str(str(number))
            assert (await socket.receive()).data == str(number)
        assert (await asyncio.wait_for(socket.receive(), 10)).type in (
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
        )


async def test_tls_an_access_log_and_the_clients_address(processes: Children, protocol: str, tmp_path: Path) -> None:
    """Clients verify the certificate; each request is a line of JSON; the server is told who asked."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls, log = ListenTls(certificate=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem")), tmp_path / "access.log"

    def state(envoy: EnvoyUnderLoad) -> ServiceState:
        listen = Listen(port=envoy.port, tls=tls, access_log=str(log), use_remote_address=True)
        return envoy.fraud(versions={"v1": [place]}, listen=listen)

    async with model() as place, envoy_in_sync(processes, protocol, state) as envoy:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        reply = await get(envoy.port, "/a?b", headers={"x-forwarded-for": "203.0.113.9"}, tls=trusting)
        sent = {name.lower(): value for name, value in json.loads(reply.body)["headers"].items()}
        first, _, appended = sent["x-forwarded-for"].partition(",")
        assert (first, bool(appended)) == ("203.0.113.9", True)
        with pytest.raises(aiohttp.ClientError):
            await get(envoy.port)
        await wait_until(lambda: log.exists() and log.read_text())
        line = json.loads(log.read_text().splitlines()[0])
    assert (line["status"], line["path"], line["cluster"], line["method"]) == (200, "/a?b", "fraud/v1", "GET")
