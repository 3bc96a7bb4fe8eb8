"""Proxies that prove who they are: each is of its own fleet alone, and gets and reports what is that fleet's."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest

from controller.core.access.proxy_gate import ProxyGate
from controller.core.traffic.book import Book
from controller.pb.haldane.wire.v1.discovery_pb2 import Node
from controller.ports.report_admission import NotCounted
from controller.process.clock import SystemClock
from controller.telemetry.load_reporting_service import LoadReportingService
from controller.telemetry.reporters import Reporters
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.server import XdsServer
from tests.fakes.meter import FakeMeter
from tests.integration.forger import Forger
from tests.support.authority import Authority, IssuedCertificate
from tests.support.waiting import wait_until
from tests.xds.local_server import ADS, RawClient, local_server
from tests.xds.views import service, view

Code = grpc.StatusCode
LIST = f"{ADS}StreamAggregatedResources"
V1, V2 = "fraud-scorer/v1", "fraud-scorer/v2"


@dataclass
class SecuredPort:
    """An xDS port with mutual TLS, and what reports there are counted in."""

    xds: XdsServer
    book: Book
    address: str
    authority: Authority

    @contextlib.asynccontextmanager
    async def channel(self, certificate: IssuedCertificate) -> AsyncIterator[grpc.aio.Channel]:
        """A connection of whoever has this certificate."""
        credentials = grpc.ssl_channel_credentials(self.authority.certificate, certificate.key, certificate.certificate)
        async with grpc.aio.secure_channel(
            self.address, credentials, [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            yield channel


@pytest.fixture
async def port() -> AsyncIterator[SecuredPort]:
    """A port that serves two fleets a service each."""
    authority, clock, book = Authority(), SystemClock(), Book()
    own = authority.issue("controller")
    xds = XdsServer(clock=clock)
    book.track_clusters([V1, V2])
    reports = LoadReportingService(
        book,
        Reporters(xds, xds.stranger_log, xds.report_totals, FakeMeter(), clock),
        clock,
        interval=0.2,
        on_news=lambda _: None,
    )
    server, gate = grpc.aio.server(options=[("grpc.so_reuseport", 0)]), ProxyGate(secured=True)
    server.add_generic_rpc_handlers((*xds.handlers(gate), *reports.handlers(gate)))
    credentials = grpc.ssl_server_credentials(
        [(own.key, own.certificate)], authority.certificate, require_client_auth=True
    )
    number = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    xds.publish(view(1, service("fraud-scorer", fleets=("edge",)), service("other", port=10001, fleets=("core",))))
    yield SecuredPort(xds, book, f"127.0.0.1:{number}", authority)
    await server.stop(0)


def of_fleet(port: SecuredPort, fleet: str, trust_domain: str = "prod") -> IssuedCertificate:
    """The certificate of a proxy of that fleet."""
    return port.authority.issue(spiffe=f"spiffe://{trust_domain}/ns/ml/fleet/{fleet}")


async def connected(channel: grpc.aio.Channel, node: str = "edge-1", fleet: str = "edge") -> RawClient:
    """A stream whose client has said that it is that node of that fleet."""
    client = RawClient(channel.stream_stream(LIST)())
    await client.send(type_url=CDS, node=Node(id=node, cluster=fleet))
    return client


@pytest.mark.proves("bad-input 19")
async def test_a_proxy_is_of_the_fleet_of_its_certificate_alone(port: SecuredPort) -> None:
    """What it says must be that; the refusal names both. A certificate that is of no fleet is refused everywhere."""
    async with port.channel(of_fleet(port, "edge")) as channel:
        names = [resource.type_url for resource in (await (await connected(channel)).read()).resources]
        assert len(names) == 2
        code, details = await (await connected(channel, fleet="core")).end()
        assert code is Code.PERMISSION_DENIED
        assert "node.cluster is 'core'" in details
        assert "may be of fleet edge" in details
    async with port.channel(port.authority.issue("somebody")) as channel:
        assert (await (await connected(channel)).end())[0] is Code.PERMISSION_DENIED


async def test_a_node_belongs_to_who_proved_it(port: SecuredPort) -> None:
    """Nobody else can open streams under its id, until it has none."""
    async with port.channel(of_fleet(port, "edge")) as channel, port.channel(of_fleet(port, "edge", "lab")) as other:
        first = await connected(channel)
        await first.read()
        code, details = await (await connected(other)).end()
        assert (code, "node edge-1 is spiffe://prod/ns/ml/fleet/edge's" in details) == (Code.PERMISSION_DENIED, True)
        first.call.cancel()
        await wait_until(lambda: not port.xds.proxies())
        assert await (await connected(other)).read()


async def test_reports_count_by_identity(port: SecuredPort) -> None:
    """Over whichever connection of the proxy; under its id from no other identity."""
    proxy = of_fleet(port, "edge")
    async with (
        port.channel(proxy) as channel,
        port.channel(proxy) as second,
        port.channel(of_fleet(port, "edge", "lab")) as other,
        port.channel(of_fleet(port, "core")) as wrong,
    ):
        client = await connected(channel)
        await client.accept(await client.read())
        await wait_until(lambda: [p.types[0].state for p in port.xds.proxies()] == ["SYNCED"])
        liars = [Forger(other, "edge-1", "edge"), Forger(wrong, "edge-1", "edge"), Forger(wrong, "core-1", "core")]
        for liar in liars:
            await liar.load(canary_errors=100)
        await wait_until(lambda: len(port.xds.strangers()) == len(liars))
        assert {each.reason for each in port.xds.strangers()} == {NotCounted.OTHER_CONNECTION, NotCounted.NO_XDS_STREAM}
        await Forger(second, "edge-1", "edge").load(canary_ok=7)
        await wait_until(lambda: port.book.totals()["fraud-scorer", "v2"]["ok"] == 7)
        assert port.book.totals()["fraud-scorer", "v2"]["5xx"] == 0
        (status,) = port.xds.proxies()
        assert (status.requests, status.failed) == (7, 0)
        await Forger(second, "edge-1", "edge").load(canary_errors=2)
        await wait_until(lambda: [(p.requests, p.failed) for p in port.xds.proxies()] == [(9, 2)])


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_fleet_gets_nothing_of_another_by_name(delta: bool) -> None:
    """Neither clusters, nor endpoints, nor listeners, nor routes, of Envoy's kind or for clients without a proxy."""
    names = {
        CDS: ["other/v1", "fraud/v1"],
        EDS: ["other/v1", "fraud/v1"],
        LDS: ["other", "127.0.0.1:10001", "fraud"],
        RDS: ["127.0.0.1:10001", "other/proxyless", "127.0.0.1:10000"],
    }
    own = {CDS: ["fraud/v1"], EDS: ["fraud/v1"], LDS: ["fraud"], RDS: ["127.0.0.1:10000"]}
    async with local_server() as server:
        server.xds.publish(view(1, service(fleets=("edge",)), service("other", port=10001, fleets=("core",))))
        for type_url, asked in names.items():
            client = server.open("DeltaAggregatedResources" if delta else "StreamAggregatedResources")
            if delta:
                await client.send_delta(type_url=type_url, resource_names_subscribe=asked, node="edge-1")
                response = await client.read_delta()
                assert [each.name for each in response.resources] == own[type_url]
                assert sorted(response.removed_resources) == sorted({*asked} - {*own[type_url]})
            else:
                await client.send(type_url=type_url, resource_names=asked, node="edge-1")
                packed = b"".join(bytes(each) for each in (await client.read()).resources)
                assert b"other" not in packed
                assert b"10001" not in packed
                assert b"fraud" in packed
            client.call.cancel()
