"""The xDS server on the wire: every way in, and what it knows of its proxies."""

import asyncio
from itertools import pairwise

import grpc
import pytest
from envoy_data_plane.envoy.service.status.v3 import ClientStatusRequest, ClientStatusResponse, ConfigStatus
from envoy_data_plane.envoy.type.matcher.v3 import NodeMatcher, StringMatcher

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.limits import Limits
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.server import ADS as ADS_SERVICE
from controller.xds.server import SERVICES
from tests.support.waiting import wait_until
from tests.xds.local_server import LocalServer, RawClient, local_server
from tests.xds.views import service, view

TABLE = "127.0.0.1:10000"
TYPED = [(name, methods, implied) for name, (methods, implied) in SERVICES.items() if name != ADS_SERVICE]
CSDS = "/envoy.service.status.v3.ClientStatusDiscoveryService/"


async def greet(client: RawClient, node: str = "edge-1") -> None:
    """What an Envoy says at its start, until it has everything."""
    asked = {CDS: (), EDS: ("fraud/v1", "fraud/v2"), LDS: (), RDS: (TABLE,)}
    for type_url, names in asked.items():
        await client.send(type_url=type_url, resource_names=names, node=node if type_url == CDS else None)
        await client.accept(await client.read(), *names)


@pytest.mark.proves("xds-rule 1")
async def test_an_aggregated_stream_serves_everything(xds: LocalServer) -> None:
    """SotW: each type with its nonce, its version, and the name of the replica."""
    xds.xds.publish(view(1, service()))
    client = xds.open()
    await client.send(type_url=CDS, node="edge-1")
    response = await client.read()
    assert (response.type_url, len(response.resources)) == (CDS, 2)
    assert {resource.type_url for resource in response.resources} == {CDS}
    assert response.control_plane
    assert response.control_plane.identifier == "haldane/test"
    assert response.nonce
    assert response.version_info.startswith("0f9a-store.0000000000000001-")


async def test_a_delta_stream_names_and_versions_each_resource(xds: LocalServer) -> None:
    """And says what was removed."""
    xds.xds.publish(view(1, service()))
    client = xds.open("DeltaAggregatedResources")
    await client.send_delta(type_url=CDS, node="edge-1")
    response = await client.read_delta()
    assert {resource.name for resource in response.resources} == {"fraud/v1", "fraud/v2"}
    assert all(r.version and r.resource and r.resource.type_url == CDS for r in response.resources)
    await client.send_delta(type_url=CDS, nonce=response.nonce)
    xds.xds.publish(view(2, service(versions={"v1": ["127.0.0.1:9001"]})))
    assert (await client.read_delta()).removed_resources == ["fraud/v2"]


@pytest.mark.proves("xds-rule 1")
@pytest.mark.parametrize(("name", "methods", "implied"), TYPED, ids=[methods for _, methods, _ in TYPED])
async def test_each_type_has_a_service_of_its_own(xds: LocalServer, name: str, methods: str, implied: str) -> None:
    """SotW and Delta; the type need not be said."""
    xds.xds.publish(view(1, service()))
    asked = {EDS: ["fraud/v1"], RDS: [TABLE]}.get(implied, [])
    client = xds.open(f"Stream{methods}", f"/{name}/")
    await client.send(node="edge-1", resource_names=asked)
    assert (await client.read()).type_url == implied
    delta = xds.open(f"Delta{methods}", f"/{name}/")
    await delta.send_delta(node="edge-2", resource_names_subscribe=asked)
    assert (await delta.read_delta()).type_url == implied


async def test_a_proxy_gets_the_snapshot_of_its_fleet(xds: LocalServer) -> None:
    """Its fleet is its node.cluster; services without fleets are for all, also for fleets that no one names."""
    xds.xds.publish(view(1, service("everywhere"), service("inside", port=10001, fleets=("batch",))))
    seen = {}
    for fleet in ("batch", "edge"):
        client = xds.open()
        await client.send(type_url=CDS, node=pb.Node(id=fleet, cluster=fleet))
        seen[fleet] = [b"inside/" in resource.value for resource in (await client.read()).resources]
    assert seen == {"batch": [False, False, True, True], "edge": [False, False]}


async def test_the_state_of_each_proxy(xds: LocalServer) -> None:
    """In sync, then behind while a step is not ACKed, then in error with the proxy's words; and told."""
    xds.xds.publish(view(1, service()))
    client = xds.open()
    await greet(client)
    await wait_until(lambda: xds.xds.sync("fraud", 1).complete and xds.xds.sync("fraud", 1).total == 1)
    assert xds.xds.proxies()[0].state == "SYNCED"
    xds.xds.publish(view(2, service(canary=("v2", 500))))
    step = await client.read()
    assert xds.xds.sync("fraud", 2).synced == 0
    routes = next(status for status in xds.xds.proxies()[0].types if status.type_url == RDS)
    assert (routes.state, routes.wanted == step.version_info, routes.acknowledged != step.version_info) == (
        "STALE",
        True,
        True,
    )
    await client.send(type_url=RDS, resource_names=[TABLE], nonce=step.nonce, error="no such thing")
    await wait_until(lambda: xds.xds.proxies()[0].state == "ERROR")
    routes = next(status for status in xds.xds.proxies()[0].types if status.type_url == RDS)
    assert routes.error == "no such thing"
    assert xds.xds.sync("fraud", 2).nacked == ("edge-1",)
    assert ("nack", "edge-1", "edge", RDS, "no such thing", True) in xds.observer.events
    xds.xds.publish(view(3, service()))
    await wait_until(lambda: xds.xds.sync("fraud", 3).complete and xds.xds.proxies()[0].state == "SYNCED")


async def test_connected_proxies_are_counted_not_streams(xds: LocalServer) -> None:
    """A proxy with several streams is one proxy, and none once its last stream has ended."""
    xds.xds.publish(view(1, service()))
    clients = [xds.open() for _ in range(3)]
    for client, node in zip(clients, ("edge-1", "edge-1", "edge-2"), strict=True):
        await greet(client, node)
    assert xds.xds.connected == len(xds.xds.proxies()) == 2
    clients[0].call.cancel()
    clients[2].call.cancel()
    await wait_until(lambda: xds.xds.connected == 1)
    clients[1].call.cancel()
    await wait_until(lambda: xds.xds.connected == 0)


async def test_no_proxy_is_in_sync_with_a_revision_not_served_yet(xds: LocalServer) -> None:
    """A revision that the store has and we do not."""
    xds.xds.publish(view(1, service()))
    client = xds.open()
    await greet(client)
    await wait_until(lambda: xds.xds.sync("fraud", 1).synced == 1)
    assert (xds.xds.sync("fraud", 2).synced, xds.xds.sync("fraud", 2).total) == (0, 1)
    assert xds.xds.sync("nobody", 1).total == 0


async def test_a_proxy_without_an_ack_is_unconfirmed() -> None:
    """After a time it is shown, with since when."""
    async with local_server(Limits(confirm=0.01)) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        await client.send(type_url=CDS, node="edge-1")
        await client.read()
        await wait_until(lambda: xds.xds.proxies()[0].types[0].error.startswith("unconfirmed"))
        assert xds.xds.proxies()[0].types[0].state == "STALE"


async def test_csds_has_the_same_states(xds: LocalServer) -> None:
    """Envoy's client status service: for each proxy and type its state, and the error's text."""
    xds.xds.publish(view(1, service()))
    client = xds.open()
    await greet(client)
    xds.xds.publish(view(2, service(canary=("v2", 500))))
    step = await client.read()
    await client.send(type_url=RDS, resource_names=[TABLE], nonce=step.nonce, error="no such thing")
    await wait_until(lambda: xds.xds.proxies()[0].state == "ERROR")
    fetch = xds.channel.unary_unary(CSDS + "FetchClientStatus")
    (config,) = ClientStatusResponse.parse(await fetch(b"")).config
    assert config.node
    assert (config.node.id, config.node.cluster) == ("edge-1", "edge")
    states = {each.type_url: each.config_status for each in config.generic_xds_configs}
    assert states == {
        CDS: ConfigStatus.SYNCED,
        EDS: ConfigStatus.SYNCED,
        LDS: ConfigStatus.SYNCED,
        RDS: ConfigStatus.ERROR,
    }
    (error,) = [each.error_state for each in config.generic_xds_configs if each.error_state]
    assert error.details == "no such thing"
    for text, found in (("edge-1", 1), ("edge-2", 0)):
        matcher = NodeMatcher(node_id=StringMatcher(exact=text))
        stream = xds.channel.stream_stream(CSDS + "StreamClientStatus")()
        await stream.write(bytes(ClientStatusRequest(node_matchers=[matcher])))
        assert len(ClientStatusResponse.parse(await stream.read()).config) == found
        stream.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await fetch(bytes(ClientStatusRequest(node_matchers=[NodeMatcher()])))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_draining_ends_streams_and_takes_no_new_ones(xds: LocalServer) -> None:
    """With a status, never with an empty world."""
    xds.xds.publish(view(1, service()))
    client = xds.open()
    await client.send(type_url=CDS, node="edge-1")
    await client.read()
    await xds.xds.drain()
    assert (await client.end())[0] is grpc.StatusCode.UNAVAILABLE
    late = xds.open()
    await late.send(type_url=CDS, node="edge-2")
    assert (await late.end())[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.proves("fault 14", "xds-rule 52")
async def test_an_older_or_another_stores_empty_view_is_ignored(xds: LocalServer) -> None:
    """Nothing goes back, and no empty world takes the place of a full one by accident."""
    xds.xds.publish(view(5, service()))
    client = xds.open()
    await greet(client)
    await wait_until(lambda: xds.xds.sync("fraud", 5).synced == 1)
    xds.xds.publish(view(4, service(canary=("v2", 500))))
    xds.xds.publish(view(6, store="another"))
    assert (xds.xds.sync("fraud", 5).synced, xds.xds.sync("fraud", 6).synced) == (1, 0)


async def test_a_service_that_cannot_be_served_leaves_the_others_alone(xds: LocalServer) -> None:
    """It stays as it was served last, and is told; the others go on."""
    good, bad = service("good", port=10001), service("bad")
    xds.xds.publish(view(1, good, bad))
    client = xds.open()
    await client.send(type_url=RDS, resource_names=[TABLE, "127.0.0.1:10001"], node="edge-1")
    first = await client.read()
    await client.accept(first, TABLE, "127.0.0.1:10001")
    broken = service("bad", versions={"v1": [], "v2": ["127.0.0.1:9002"]}, canary=("v2", 500))
    xds.xds.publish(view(2, service("good", port=10001, canary=("v2", 500)), broken))
    step = await client.read()
    assert [b"good" in bytes(r.value) for r in step.resources] == [True]
    assert "v1 carries traffic but has no endpoints" in xds.xds.problems["bad"]
    await asyncio.sleep(0)
    assert xds.xds.sync("bad", 2).total == 1


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_client_of_endpoints_alone_is_synced_after_a_removal(delta: bool) -> None:
    """Delta tells it of the removal; SotW cannot, so it is not waited for."""
    async with local_server(Limits(settle=0.1)) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open("DeltaAggregatedResources" if delta else "StreamAggregatedResources")
        names = ["fraud/v1", "fraud/v2"]
        if delta:
            await client.send_delta(type_url=EDS, resource_names_subscribe=names, node="edge-1")
            await client.send_delta(type_url=EDS, nonce=(await client.read_delta()).nonce)
        else:
            await client.send(type_url=EDS, resource_names=names, node="edge-1")
            await client.accept(await client.read(), *names)
        await wait_until(lambda: [proxy.state for proxy in xds.xds.proxies()] == ["SYNCED"])
        xds.xds.publish(view(2, service(versions={"v1": ["127.0.0.1:9001"]})))
        if delta:
            removal = await client.read_delta()
            assert (removal.resources, removal.removed_resources) == ([], ["fraud/v2"])
            await client.send_delta(type_url=EDS, nonce=removal.nonce)
        await wait_until(lambda: [proxy.state for proxy in xds.xds.proxies()] == ["SYNCED"])


async def test_a_push_to_many_streams_lets_others_have_their_turn(
    xds: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In slices; a view that is published meanwhile goes to all of them, also to those already woken."""
    monkeypatch.setattr("controller.xds.fan_out.BATCH", 4)
    xds.xds.publish(view(1, service()))
    clients = [xds.open() for _ in range(10)]
    for number, client in enumerate(clients):
        await client.send(type_url=RDS, resource_names=[TABLE], node=f"edge-{number}")
        await client.accept(await client.read(), TABLE)
    await wait_until(lambda: xds.xds.sync("fraud", 1).synced == 10)

    def behind() -> int:
        newest = xds.xds.published("edge")
        assert newest
        return sum(each.stream.snapshot is not newest for each in xds.xds._connections)

    xds.xds.publish(view(2, service(canary=("v2", 500))))
    left = [behind()]
    while left[-1]:
        await asyncio.sleep(0)
        left.append(behind())
    assert [before - after for before, after in pairwise(left) if before != after] == [4, 4, 2]
    for client in clients:
        await client.accept(await client.read(), TABLE)
    await wait_until(lambda: xds.xds.sync("fraud", 2).synced == 10)
    xds.xds.publish(view(3, service(canary=("v2", 1000))))
    await asyncio.sleep(0)
    xds.xds.publish(view(4, service()))

    async def accept_all(client: RawClient) -> None:
        while True:
            await client.accept(await client.read(60.0), TABLE)

    tasks = [asyncio.create_task(accept_all(client)) for client in clients]
    await wait_until(lambda: xds.xds.sync("fraud", 4).synced == 10)
    for task in tasks:
        task.cancel()
