"""The service files in docs/examples, each served by a real Envoy: what its first lines promise is so."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc
import pytest
import trustme
from aiohttp import web

from controller.core.model.rollout import Phase
from controller.core.model.service import Endpoint, Listen
from controller.core.model.service_state import ServiceState
from controller.core.servicefile.service_file import read_service
from controller.demo.harness.child_processes import Children
from tests.builders import rollout_in
from tests.support.http_server import http_server
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.traffic.envoy_in_sync import Reply, echo, envoy_in_sync, get, get_many, model
from tests.xds.envoy_under_load import EnvoyUnderLoad

pytestmark = pytest.mark.envoy

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PART = b"data: token\n\n"
SPEAK = "/speech.Recognizer/Stream"


def example(
    name: str, places: Mapping[str, list[str]], port: int, *, canary: int = 0, replaced: str = ""
) -> ServiceState:
    """The service of that file with its endpoints where the test has servers; `canary` is the weight of its second
    version. `replaced` stands in place of the file's path of certificates."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    service = read_service(text.replace("/etc/ssl/model-ca.pem", replaced or "/etc/ssl/model-ca.pem")).service
    assert service
    versions = tuple(
        version.model_copy(update={"endpoints": tuple(map(endpoint, places[version.name]))})
        for version in service.versions
    )
    spec = service.model_copy(update={"versions": versions, "listen": Listen(port=port)})
    rollout = None
    if canary:
        progressing = rollout_in(Phase.PROGRESSING)
        names = {"service": spec.name, "stable": versions[0].name, "canary": versions[1].name}
        rollout = progressing.model_copy(update={**names, "weight": canary})
    return ServiceState(spec=spec, source=text, stable=spec.stable, rollout=rollout)


def endpoint(place: str) -> Endpoint:
    """HOST:PORT."""
    host, _, port = place.rpartition(":")
    return Endpoint(host=host, port=int(port))


async def talk(request: web.Request) -> web.StreamResponse:
    """Tokens for longer than the service's timeout."""
    if request.path == "/health":
        return web.Response()
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(12):
        await response.write(PART)
        await asyncio.sleep(1.0)
    return response


async def test_an_assistant_streams_for_longer_than_its_timeout(processes: Children) -> None:
    """And nothing else than its one path is served."""
    async with model(talk) as one, model(talk) as two:
        places = {"llama-8b": [one], "llama-8b-awq": [two]}
        async with envoy_in_sync(processes, "delta", lambda e: example("assistant", places, e.port)) as envoy:
            streamed, other = await asyncio.gather(
                get(envoy.port, "/v1/chat/completions"), get(envoy.port, "/v1/completions")
            )
    assert (streamed.status, streamed.whole, streamed.body) == (200, True, PART * 12)
    assert other.status == 404


@contextlib.asynccontextmanager
async def recogniser(seconds: float) -> AsyncIterator[str]:
    """A gRPC server whose streams say something each half second for so long."""

    async def stream(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
        for _n in range(int(seconds * 2)):
            yield b"word"
            await asyncio.sleep(0.5)

    async def check(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return b"\x08\x01"  # SERVING

    server = grpc.aio.server()
    methods = {
        SPEAK: grpc.unary_stream_rpc_method_handler(stream),
        "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(check),
    }
    for path, handler in methods.items():
        _, service, method = path.split("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_speech_is_heard_for_longer_than_the_timeout(processes: Children) -> None:
    """A gRPC stream of more than five seconds, at the defaults of streams."""
    async with recogniser(7.0) as one, recogniser(7.0) as two:
        places = {"v1": [one], "v2": [two]}
        async with (
            envoy_in_sync(processes, "delta", lambda e: example("speech", places, e.port)) as envoy,
            grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel,
        ):
            words = [word async for word in channel.unary_stream(SPEAK)(b"", wait_for_ready=True)]
    assert len(words) == 14


async def test_credit_risk_is_reached_by_tls_and_no_client_sees_its_canary_fail(
    processes: Children, tmp_path: Path
) -> None:
    """The certificate is that of the name in the file; the canary answers nothing but errors."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("risk.internal").configure_cert(tls)

    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=500)

    async with tls_model(echo, tls) as one, tls_model(fail, tls) as two:
        places = {"v1": [one], "v2": [two]}

        def state(envoy: EnvoyUnderLoad) -> ServiceState:
            return example("credit-risk", places, envoy.port, canary=5000, replaced=str(tmp_path / "ca.pem"))

        async with envoy_in_sync(processes, "delta", state) as envoy:
            replies = await get_many(envoy.port, 40)
    assert {(reply.status, reply.version) for reply in replies} == {(200, "v1")}


@contextlib.asynccontextmanager
async def tls_model(handler: object, tls: ssl.SSLContext) -> AsyncIterator[str]:
    """HOST:PORT of a server that speaks TLS."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
    async with http_server(app, tls=tls) as url:
        yield url.removeprefix("http://")


async def test_recommenders_testers_and_users(processes: Children) -> None:
    """Two prefixes of whole segments, testers by header, users who keep their version."""
    async with model() as one, model() as two:
        places = {"v1": [one], "v2": [two]}

        def state(envoy: EnvoyUnderLoad) -> ServiceState:
            return example("recommender", places, envoy.port, canary=5000)

        async with envoy_in_sync(processes, "delta", state) as envoy:

            async def ask(path: str, **headers: str) -> Reply:
                host = {"host": "shop.example.com", **{k.replace("_", "-"): v for k, v in headers.items()}}
                return await get(envoy.port, path, headers=host)

            assert [(await ask("/v1/similar/7", x_tester="yes")).version for _ in range(4)] == ["v2"] * 4
            assert [(await ask("/v1/recommend?model=v1")).version for _ in range(4)] == ["v1"] * 4
            assert (await ask("/v1/similarity")).status == 404
            assert (await get(envoy.port, "/v1/similar")).status == 404  # of another host
            users = {f"u{n}": (await ask("/v1/similar", x_user_id=f"u{n}")).version for n in range(20)}
            assert set(users.values()) == {"v1", "v2"}
            for user, version in users.items():
                assert (await ask("/v1/recommend", x_user_id=user)).version == version


async def test_eighteen_dead_rankers_of_twenty_cost_no_request(processes: Children) -> None:
    """They are taken out by their health checks. Without those, nine of ten requests failed."""
    async with model() as one, model() as two, model() as three:
        dead = [f"127.0.0.1:{free_port()}" for _ in range(18)]
        places = {"v1": [one, *dead, two], "v2": [three]}
        async with envoy_in_sync(processes, "delta", lambda e: example("ranker", places, e.port)) as envoy:

            async def all_well() -> bool:
                return {reply.status for reply in await get_many(envoy.port, 100)} == {200}

            await wait_until(all_well, 20.0)
            assert {reply.status for reply in await get_many(envoy.port, 200)} == {200}
