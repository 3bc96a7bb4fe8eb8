"""How a version is reached, with a real Envoy: what each key of it does, and that changing it fails no request."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import aiohttp
import pytest
import trustme
import yaml

from controller.core.model.service import Endpoint
from controller.core.model.upstream import HealthCheck, Outliers, Tls, Upstream, UpstreamLimits
from controller.demo.harness.child_processes import Children
from tests.support.dns_server import dns_server, resolving_at
from tests.support.envoy import EnvoyProcess
from tests.support.grpc_model import GrpcModelServer
from tests.support.load import by_version, steady
from tests.support.model import Behaviour, ModelServer
from tests.support.process import free_port
from tests.support.waiting import wait_until
from tests.telemetry.http2_server import http2_server
from tests.xds.envoy_under_load import EnvoyUnderLoad, ServerFactory, envoy_under_load, versions_answer
from tests.xds.views import service

pytestmark = [pytest.mark.envoy, pytest.mark.proves("xds-rule 32")]

Versions = Mapping[str, Sequence[str | Endpoint]]
OFTEN = HealthCheck(kind="http", path="/health", every=0.1, timeout=0.5)


class World:
    """An Envoy and its xDS server. v1 alone has traffic."""

    def __init__(self, playing: EnvoyUnderLoad, envoy: EnvoyProcess) -> None:
        self.playing = playing
        self.port = playing.port
        self._envoy = envoy

    async def serve(self, *places: str | Endpoint, **keys: object) -> None:
        """v1 has these endpoints, which are reached so; once Envoy has it."""
        upstream = Upstream(**keys)  # type: ignore[arg-type]
        await self.playing.publish_and_sync(
            service(port=self.port, versions={"v1": places}, upstreams={"v1": upstream})
        )

    async def members(self, state: str) -> int:
        """How many endpoints of v1 are in that state: healthy, total."""
        return (await self.counters()).get(f"membership_{state}", -1)

    async def counters(self) -> dict[str, int]:
        """The statistics of v1's cluster."""
        prefix = "cluster.fraud/v1."
        return {name.removeprefix(prefix): n for name, n in (await self._envoy.counters(prefix)).items()}

    async def ask(self, count: int = 20) -> Counter[int]:
        """So many requests at once, by their status."""

        async def one(session: aiohttp.ClientSession) -> int:
            async with session.get(f"http://127.0.0.1:{self.port}/") as response:
                await response.read()
                return response.status

        async with aiohttp.ClientSession() as session:
            return Counter(await asyncio.gather(*(one(session) for _ in range(count))))


@pytest.fixture
async def world(processes: Children) -> AsyncIterator[World]:
    """An Envoy that has a service without a server."""
    async with EnvoyUnderLoad((), free_port()) as playing:
        playing.publish(service(port=playing.port, versions={"v1": [f"127.0.0.1:{free_port()}"]}))
        await playing.open()
        yield World(playing, await playing.envoy(processes, "delta"))


class Authority:
    """A certificate authority, and the files that it signed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.file)
        self._folder = folder

    def server(self, *names: str, ask_client: bool = False) -> ssl.SSLContext:
        """What a server with a certificate of these names listens with; `ask_client`: for a certificate of ours."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(context)
        if ask_client:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def bundle(self, other: "Authority") -> str:
        """The file of both authorities."""
        file = self._folder / "bundle.pem"
        file.write_bytes(self.ca.cert_pem.bytes() + other.ca.cert_pem.bytes())
        return str(file)

    def client(self, name: str) -> tuple[str, str]:
        """The files of a certificate and its key."""
        issued = self.ca.issue_cert(name)
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return str(certificate), str(key)


@contextlib.asynccontextmanager
async def secure_model(context: ssl.SSLContext) -> AsyncIterator[ModelServer]:
    """A model server with TLS."""
    server = ModelServer("v1", tls=context)
    await server.start()
    try:
        yield server
    finally:
        await server.crash()


async def test_a_server_with_tls_is_reached_by_its_name_and_its_authority(world: World, tmp_path: Path) -> None:
    """The wrong name, or the right one of another authority, fails every request: nothing is sent to a stranger."""
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    async with secure_model(ours.server("model.internal")) as server:
        await world.serve(server.address, tls=Tls(sni="model.internal", ca=str(ours.file)))
        assert await world.ask() == {200: 20}
        await world.serve(server.address, tls=Tls(sni="model.internal", san=("other",), ca=str(ours.file)))
        assert await world.ask() == {503: 20}
        await world.serve(server.address, tls=Tls(sni="model.internal", ca=str(theirs.file)))
        assert await world.ask() == {503: 20}
        assert server.seen == 20


async def test_a_server_that_asks_for_a_certificate_gets_one(world: World, tmp_path: Path) -> None:
    """Mutual TLS, with a health check that goes the same way."""
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.client("edge")
    async with secure_model(ours.server("model.internal", ask_client=True)) as server:
        await world.serve(server.address, tls=Tls(sni="model.internal", ca=str(ours.file)))
        assert await world.ask() == {503: 20}
        tls = Tls(sni="model.internal", ca=str(ours.file), certificate=certificate, key=key)
        await world.serve(server.address, tls=tls, health=OFTEN)
        await wait_until(lambda: world.members("healthy"))
        assert await world.ask() == {200: 20}


async def test_certificates_by_secrets_of_the_bootstrap(processes: Children, tmp_path: Path) -> None:
    """In place of files: the authority, and the certificate that the proxy shows."""
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.client("edge")
    files = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
    secrets = [
        {"name": "roots", "validation_context": {"trusted_ca": {"filename": str(ours.file)}}},
        {"name": "own", "tls_certificate": files},
    ]

    def with_secrets(bootstrap: str) -> str:
        made = yaml.safe_load(bootstrap)
        made["static_resources"]["secrets"] = secrets
        return yaml.safe_dump(made)

    async with (
        EnvoyUnderLoad((), free_port()) as playing,
        secure_model(ours.server("model.internal", ask_client=True)) as server,
    ):
        tls = Tls(sni="model.internal", ca_sds="roots", certificate_sds="own")
        versions = {"v1": [server.address]}
        playing.publish(service(port=playing.port, versions=versions, upstreams={"v1": Upstream(tls=tls)}))
        await playing.open()
        world = World(playing, await playing.envoy(processes, "delta", with_secrets))
        assert await world.ask() == {200: 20}


@pytest.mark.proves("fault 42")
async def test_a_missing_file_takes_nothing_down(processes: Children, model_server: ServerFactory) -> None:
    """The proxy rejects that cluster and keeps the one that it has; a neighbour's change passes."""
    async with envoy_under_load(processes, model_server, "delta") as (playing, load):
        missing = Upstream(tls=Tls(sni="a", ca="/nonexistent.pem"))
        playing.publish(playing.fraud(upstreams={"v1": missing}))
        await wait_until(lambda: playing.xds.proxies()[0].last_nack)
        neighbour = service("other", port=free_port(), versions={"v1": [playing.models[2].address]})
        playing.publish(playing.fraud(upstreams={"v1": missing}), neighbour)

        async def served() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"http://127.0.0.1:{neighbour.spec.listen.port}/") as response,
                ):
                    return response.status == 200
            return False

        await wait_until(served)
        await versions_answer(load, "v1")


@pytest.mark.proves("fault 38")
async def test_a_dead_endpoint_is_taken_out_and_comes_back(world: World, model_server: ServerFactory) -> None:
    """One of three dies: once it is out no request fails, and it gets its share again when it is back."""
    servers = [await model_server(name) for name in ("a", "b", "c")]
    await world.serve(*(server.address for server in servers), health=OFTEN)
    async with steady(world.port, 200) as load:
        await wait_until(lambda: by_version(load.results).keys() == {"a", "b", "c"})
        await servers[0].crash()

        async def healthy(count: int) -> bool:
            return await world.members("healthy") == count

        await wait_until(lambda: healthy(2))
        out = len(load.results)
        await wait_until(lambda: len(load.results) > out + 200)
        # A request that was under way when the endpoint was taken out may still fail.
        assert [answer for answer in load.results[out + 10 :] if not answer.ok] == []
        await servers[0].start()
        await wait_until(lambda: healthy(3))
        back = len(load.results)
        await wait_until(lambda: by_version(load.results[back:])["a"])


@pytest.mark.proves("fault 39")
async def test_most_endpoints_dead_is_no_panic_and_all_dead_is(world: World, model_server: ServerFactory) -> None:
    """Eighteen of twenty dead: the two that live get everything. A mistaken health check fails no request."""
    servers = [await model_server(name) for name in ("a", "b")]
    dead = [f"127.0.0.1:{free_port()}" for _ in range(18)]
    live = [server.address for server in servers]
    await world.serve(*live, *dead, health=OFTEN)
    assert await world.ask(100) == {200: 100}
    for server in servers:
        server.behaviour = Behaviour(health=404)
    await wait_until(lambda: nobody_is_healthy(world))
    await world.serve(*live, health=OFTEN)
    assert await world.ask(100) == {200: 100}
    assert await nobody_is_healthy(world)


async def nobody_is_healthy(world: World) -> bool:
    """Whether every health check fails."""
    return await world.members("healthy") == 0


@pytest.mark.proves("fault 40")
async def test_a_failing_endpoint_is_ejected_though_its_health_checks_pass(
    world: World, model_server: ServerFactory
) -> None:
    """Its requests fail, its checks do not: they are answered before the model is asked."""
    good, bad = await model_server("good"), await model_server("bad")
    bad.behaviour = Behaviour(errors=1.0)
    health = HealthCheck(kind="tcp", every=0.1, timeout=0.5)
    await world.serve(good.address, bad.address, health=health, outliers=Outliers(consecutive_5xx=5))
    statuses = [status for _ in range(30) for status in await world.ask(1)]
    # The sixth may be on its way before all of Envoy knows.
    assert 5 <= statuses.count(500) < 10
    assert await world.members("healthy") == 1
    assert await world.ask(100) == {200: 100}


@pytest.mark.proves("fault 40")
async def test_a_floor_of_endpoints_is_never_ejected(world: World, model_server: ServerFactory) -> None:
    """Both fail, and one of them stays: a version that is bad as a whole is seen to be."""
    servers = [await model_server(name) for name in ("a", "b")]
    for server in servers:
        server.behaviour = Behaviour(errors=1.0)
    await world.serve(*(server.address for server in servers), outliers=Outliers(consecutive_5xx=3, floor=0.5))
    assert await world.ask(100) == {500: 100}
    assert await world.members("healthy") == 1


async def test_a_limit_rejects_what_is_over_it(world: World, model_server: ServerFactory) -> None:
    """At once, and counted: two requests at most."""
    server = await model_server("a")
    server.behaviour = Behaviour(delay=0.5)
    await world.serve(server.address, limits=UpstreamLimits(requests=2))
    assert await world.ask(10) == {200: 2, 503: 8}
    assert (await world.counters())["upstream_rq_active_overflow"] == 8


async def test_a_unix_socket(world: World, tmp_path: Path) -> None:
    """A server on the machine of the proxy, without a port."""
    server = ModelServer("v1", socket=tmp_path / "model.sock")
    await server.start()
    try:
        await world.serve(server.address, health=OFTEN)
        assert await world.ask() == {200: 20}
    finally:
        await server.crash()


@pytest.mark.parametrize("balance", ["round_robin", "least_request"])
async def test_an_endpoint_gets_requests_by_its_weight(world: World, model_server: ServerFactory, balance: str) -> None:
    """Three of four go to the one of weight 3, in whatever zone it is."""
    one, three = await model_server("one"), await model_server("three")
    places = [
        Endpoint(host="127.0.0.1", port=one.port, zone="a"),
        Endpoint(host="127.0.0.1", port=three.port, weight=3, zone="b"),
    ]
    await world.serve(*places, balance=balance)
    for _ in range(200):
        assert await world.ask(1) == {200: 1}
    assert 0.65 < three.seen / (one.seen + three.seen) < 0.85


@pytest.mark.parametrize(
    "keys",
    [
        {"balance": "ring_hash"},
        {"balance": "maglev"},
        {"slow_start": 1.0},
        {"slow_start": 1.0, "balance": "round_robin"},
    ],
    ids=["ring_hash", "maglev", "slow_start", "slow_start of round_robin"],
)
async def test_every_way_to_balance_reaches_every_endpoint(
    world: World, model_server: ServerFactory, keys: dict[str, object]
) -> None:
    """Without a cohort to stick to, a ring spreads requests at random."""
    servers = [await model_server(name) for name in ("a", "b", "c")]
    await world.serve(*(server.address for server in servers), **keys)
    assert await world.ask(100) == {200: 100}
    assert all(server.seen > 0 for server in servers)


async def test_a_name_stands_for_every_address_that_it_has(processes: Children) -> None:
    """Each has its share, and its own health."""
    one = ModelServer("one")
    two = ModelServer("two", port=one.port, host="127.0.0.2")
    async with EnvoyUnderLoad((), free_port()) as playing, dns_server(one.host, two.host) as port:
        for server in (one, two):
            await server.start()
        versions = {"v1": [f"model.example:{one.port}"]}
        upstreams = {"v1": Upstream(health=OFTEN)}
        playing.publish(service(port=playing.port, versions=versions, upstreams=upstreams))
        await playing.open()
        world = World(playing, await playing.envoy(processes, "delta", partial(resolving_at, port)))

        async def healthy(count: int) -> bool:
            return await world.members("healthy") == count

        await wait_until(lambda: healthy(2))
        assert await world.ask(100) == {200: 100}
        assert min(one.seen, two.seen) > 20
        await two.crash()
        await wait_until(lambda: healthy(1))

        async def all_good() -> bool:
            return await world.ask(100) == {200: 100}

        # Envoy's main thread knows a moment before its workers do.
        await wait_until(all_good)
        await one.crash()


async def test_a_server_that_speaks_http2(world: World) -> None:
    """With `http2` it is reached, also by health checks; without, it cannot be."""
    async with http2_server() as port:
        place = f"127.0.0.1:{port}"
        await world.serve(place)
        assert await world.ask() == {503: 20} or await world.ask() == {502: 20}
        await world.serve(place, http2=True, health=OFTEN)
        assert await world.ask() == {200: 20}
        assert await world.members("healthy") == 1
        assert (await world.counters())["upstream_cx_http2_total"] >= 1


async def test_an_idle_connection_is_closed_before_its_server_closes_it(
    world: World, model_server: ServerFactory
) -> None:
    """The next request opens a new one."""
    server = await model_server("a")
    await world.serve(server.address, idle_timeout=0.2)

    async def closed() -> bool:
        return (await world.counters())["upstream_cx_active"] == 0

    for connections in (1, 2):
        assert await world.ask(1) == {200: 1}
        await wait_until(closed)
        assert (await world.counters())["upstream_cx_total"] == connections


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_no_request_fails_though_everything_of_an_upstream_changes(
    processes: Children, model_server: ServerFactory, protocol: str
) -> None:
    """Under load, with half of it at the canary: health, outliers, limits, balance, weights and endpoints of
    stable."""
    async with envoy_under_load(processes, model_server, protocol) as (playing, load):
        one, two = (model.address for model in playing.models[:2])
        plain: Versions = {"v1": [one], "v2": [two]}
        weighted: Versions = {
            "v1": [Endpoint(host="127.0.0.1", port=playing.models[0].port, weight=5, zone="a")],
            "v2": [two],
        }
        guarded = Upstream(health=OFTEN, outliers=Outliers(), limits=UpstreamLimits(requests=10_000), slow_start=1.0)
        changes: list[tuple[Versions, Upstream]] = [
            (plain, Upstream()),
            (plain, guarded),
            (plain, guarded.model_copy(update={"balance": "round_robin"})),
            (weighted, guarded.model_copy(update={"balance": "ring_hash", "slow_start": 0.0})),
            ({"v1": [one, playing.models[2].address], "v2": [two]}, guarded),
            (plain, guarded),
            (plain, Upstream()),
        ]
        for versions, upstream in changes:
            state = playing.fraud(5000, versions=versions, upstreams={"v1": upstream})
            await playing.publish_and_sync(state)
            seen = len(load.results)
            await wait_until(lambda seen=seen: len(load.results) > seen + 60)  # type: ignore[misc]


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
async def test_no_request_fails_though_the_tls_of_a_canary_changes(
    processes: Children, model_server: ServerFactory, tmp_path: Path, protocol: str
) -> None:
    """A canary with TLS beside a stable without: it is declared, then gets traffic; its authority is renewed, it gets a
    client certificate, its endpoints change, and it goes."""
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    certificate, key = ours.client("edge")
    context = ours.server("model.internal")
    async with (
        secure_model(context) as one,
        secure_model(context) as two,
        envoy_under_load(processes, model_server, protocol) as (playing, load),
    ):
        old = Tls(sni="model.internal", ca=str(ours.file))
        renewed = old.model_copy(update={"ca": ours.bundle(theirs)})
        mutual = renewed.model_copy(update={"certificate": certificate, "key": key})
        alone = {"v1": [playing.models[0].address], "v2": [one.address]}
        await playing.publish_and_sync(playing.fraud(0, versions=alone, upstreams={"v2": Upstream(tls=old)}))
        for tls, canaries in ((old, (one,)), (renewed, (one,)), (mutual, (one, two)), (mutual, (two,))):
            versions = {"v1": [playing.models[0].address], "v2": [server.address for server in canaries]}
            upstream = Upstream(tls=tls, health=OFTEN)
            await playing.publish_and_sync(playing.fraud(5000, versions=versions, upstreams={"v2": upstream}))
            seen = [server.seen for server in canaries]
            await wait_until(
                lambda canaries=canaries, seen=seen: all(  # type: ignore[misc]
                    server.seen > before + 20 for server, before in zip(canaries, seen, strict=True)
                )
            )
        await playing.publish_and_sync(playing.fraud(0, versions=versions, upstreams={"v2": upstream}))
        await versions_answer(load, "v1")


async def test_a_grpc_server_is_asked_by_its_health_service(world: World) -> None:
    """`grpc.health.v1`: NOT_SERVING is out, SERVING is back."""
    async with GrpcModelServer("v1") as server:
        await world.serve(server.address, http2=True, health=HealthCheck(kind="grpc", every=0.1, timeout=0.5))
        for status, healthy in (("SERVING", 1), ("NOT_SERVING", 0), ("SERVING", 1)):
            server.health = status

            async def seen(healthy: int = healthy) -> bool:
                return await world.members("healthy") == healthy

            await wait_until(seen)
