"""The protocol on the wire, by a client that shares no code with the server."""

import pytest

from tests.support.waiting import wait_until
from tests.xds.independent_client import (
    BOTH,
    CDS,
    EDS,
    LDS,
    RDS,
    SECRET,
    TABLE,
    DeltaClient,
    SotwClient,
    synced_delta_client,
    synced_sotw_client,
)
from tests.xds.local_server import LocalServer
from tests.xds.views import service, view


@pytest.mark.proves("xds-rule 43")
async def test_the_first_request_gets_a_response_even_with_the_newest_version(xds: LocalServer) -> None:
    """Of every type, whatever nonce it repeats: the client may have been about to warm what it names."""
    xds.xds.publish(view(1, service()))
    client = await synced_sotw_client(xds)
    versions = {}
    for url, names in ((CDS, ()), (EDS, BOTH), (LDS, ()), (RDS, [TABLE])):
        again = SotwClient(xds)
        await again.request(url, *names)
        await again.receive()
        versions[url] = again.last.version_info
        again.call.cancel()
    client.call.cancel()
    back = SotwClient(xds)
    for url, names in ((EDS, BOTH), (RDS, [TABLE]), (CDS, ()), (LDS, ())):
        await back.request(url, *names, version=versions[url], nonce="an old stream's")
        expected = {CDS: BOTH, EDS: BOTH, LDS: [TABLE], RDS: [TABLE]}[url]
        assert await back.receive() == (url, expected)
        assert back.last.version_info == versions[url]


@pytest.mark.proves("xds-rule 12")
async def test_a_stale_nonce_gets_no_response_and_its_names_come_with_the_next_ack(xds: LocalServer) -> None:
    """Superseded requests change nothing; nothing they asked for is lost."""
    xds.xds.publish(view(1, service()))
    client = SotwClient(xds)
    await client.request(EDS, "fraud/v1")
    assert await client.receive() == (EDS, ["fraud/v1"])
    await client.request(EDS, *BOTH, nonce="nobody's")
    await client.request(EDS, *BOTH)
    await client.request(LDS)
    assert await client.receive() == (LDS, [TABLE])
    await client.request(EDS, *BOTH, nonce="1")
    assert await client.receive() == (EDS, ["fraud/v2"])


@pytest.mark.proves("xds-rule 23")
async def test_delta_a_repeated_subscription_is_sent_again(xds: LocalServer) -> None:
    """Though the client ACKed it: it may have forgotten it."""
    xds.xds.publish(view(1, service()))
    client, _ = await synced_delta_client(xds)
    for url, name in ((EDS, "fraud/v1"), (RDS, TABLE)):
        await client.request(url, name)
        assert await client.receive() == (url, [name], [])
        await client.ack()
    await client.receives_nothing()


@pytest.mark.proves("xds-rule 25")
async def test_delta_unsubscribing_a_name_under_a_wildcard_gets_a_response(xds: LocalServer) -> None:
    """What there is is sent, what there is not is removed; and what was never wanted is no offence."""
    xds.xds.publish(view(1, service()))
    client, _ = await synced_delta_client(xds)
    await client.request(CDS, "fraud/v1", "nobody/v1")
    assert await client.receive() == (CDS, ["fraud/v1"], ["nobody/v1"])
    await client.ack()
    await client.request(CDS, drop=("fraud/v1", "nobody/v1"))
    assert await client.receive() == (CDS, ["fraud/v1"], ["nobody/v1"])
    await client.ack()
    await client.request(EDS, drop=("never/v1",))
    await client.receives_nothing()


@pytest.mark.proves("xds-rule 26")
async def test_delta_an_absent_name_is_removed_at_once_and_sent_when_it_exists(xds: LocalServer) -> None:
    """The client has no timer to wait for; the subscription stands."""
    xds.xds.publish(view(1, service()))
    client, _ = await synced_delta_client(xds)
    await client.request(EDS, "later/v1", "fraud/v1")
    assert await client.receive() == (EDS, ["fraud/v1"], ["later/v1"])
    await client.ack()
    xds.xds.publish(view(2, service(), service("later", port=10001)))
    assert {(await client.receive())[:2][0] for _ in range(3)} == {CDS, EDS, LDS}


@pytest.mark.proves("xds-rule 20")
async def test_sotw_a_wildcard_and_names_together(xds: LocalServer) -> None:
    """`*` beside names; the names alone are left when `*` goes, nothing when they go, and everything never again."""
    xds.xds.publish(view(1, service(), service("other", port=10001)))
    client = SotwClient(xds)
    await client.request(CDS, "*", "fraud/v1")
    assert await client.receive() == (CDS, [*BOTH, "other/v1", "other/v2"])
    await client.ack("fraud/v1")
    xds.xds.publish(view(2, service(protocol="grpc"), service("other", port=10001, protocol="grpc")))
    assert await client.receive() == (CDS, ["fraud/v1"])
    await client.ack()  # no names: after names were given, none
    xds.xds.publish(view(3, service(), service("third", port=10002)))
    await client.receives_nothing()


@pytest.mark.proves("xds-rule 20")
async def test_delta_a_wildcard_and_names_together(xds: LocalServer) -> None:
    """Dropping `*` keeps the names."""
    xds.xds.publish(view(1, service(), service("other", port=10001)))
    client = DeltaClient(xds)
    await client.request(CDS, "*", "fraud/v1")
    assert await client.receive() == (CDS, [*BOTH, "other/v1", "other/v2"], [])
    await client.ack()
    await client.request(CDS, drop=("*",))
    await client.receives_nothing()
    xds.xds.publish(view(2, service(protocol="grpc"), service("other", port=10001, protocol="grpc")))
    assert await client.receive() == (CDS, ["fraud/v1"], [])


@pytest.mark.proves("xds-rule 21")
@pytest.mark.parametrize("url", [EDS, RDS])
async def test_an_empty_list_of_endpoints_or_routes_is_no_wildcard(xds: LocalServer, url: str) -> None:
    """Not at first, and not after names."""
    xds.xds.publish(view(1, service()))
    client, delta = SotwClient(xds), DeltaClient(xds)
    await client.request(url)
    await client.receives_nothing()
    await client.request(url, "fraud/v1" if url == EDS else TABLE)
    await client.receive()
    await client.ack()
    await client.receives_nothing()
    await delta.request(url)
    await delta.receives_nothing()


@pytest.mark.proves("xds-rule 45")
async def test_delta_a_reconnect_with_current_resources_is_sent_nothing(xds: LocalServer) -> None:
    """Of no type; but from the second message on a name that is asked for is sent, whatever was brought."""
    xds.xds.publish(view(1, service()))
    client, have = await synced_delta_client(xds)
    client.call.cancel()
    back = DeltaClient(xds)
    for url, names in ((CDS, []), (EDS, BOTH), (RDS, [TABLE]), (LDS, [])):
        await back.request(url, *names, have=have[url])
    await back.receives_nothing()
    await back.request(EDS, "fraud/v1")
    assert await back.receive() == (EDS, ["fraud/v1"], [])


@pytest.mark.proves("xds-rule 44")
async def test_delta_a_reconnect_is_sent_changes_and_removals(xds: LocalServer) -> None:
    """And not what did not."""
    xds.xds.publish(view(1, service(), service("other", port=10001)))
    client = DeltaClient(xds)
    await client.request(CDS)
    await client.receive()
    have = {each.name: each.version for each in client.last.resources}
    client.call.cancel()
    xds.xds.publish(view(2, service(versions={"v1": ["model.internal:9001"], "v2": ["127.0.0.1:9002"]})))
    back = DeltaClient(xds)
    await back.request(CDS, have=have)
    assert await back.receive() == (
        CDS,
        ["fraud/v1"],
        [],
    )  # what it may still route to stays until its routes are known
    await back.ack()
    await back.request(LDS)
    assert await back.receive() == (LDS, [TABLE], [])
    await back.ack()
    await back.request(RDS, TABLE)
    assert await back.receive() == (RDS, [TABLE], [])
    await back.ack()
    assert await back.receive() == (CDS, [], ["other/v1", "other/v2"])


@pytest.mark.proves("xds-rule 40")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_changed_cluster_resends_its_endpoints(xds: LocalServer, delta: bool) -> None:
    """They are the same, but the client warms the cluster again and waits for them; no one waits for its ACK."""
    xds.xds.publish(view(1, service()))
    client = (await synced_delta_client(xds))[0] if delta else await synced_sotw_client(xds)
    await client.receives_nothing()
    xds.xds.publish(view(2, service(protocol="grpc")))
    assert (await client.receive())[:2] == (CDS, BOTH)
    assert (await client.receive())[:2] == (EDS, BOTH)


@pytest.mark.proves("xds-rule 11")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_nacked_resource_is_not_sent_until_it_changes(xds: LocalServer, delta: bool) -> None:
    """Not at once, not with the next revision that leaves it as it is; and a NACK is known by its error alone."""
    xds.xds.publish(view(1, service()))
    client = (await synced_delta_client(xds))[0] if delta else await synced_sotw_client(xds)
    names = () if delta else (TABLE,)
    xds.xds.publish(view(2, service(canary=("v2", 500))))
    assert (await client.receive())[:2] == (RDS, [TABLE])
    await client.request(RDS, *names, nonce=client.last.nonce, error="no such thing")
    await client.receives_nothing()
    xds.xds.publish(view(3, service(canary=("v2", 500), revision=3)))
    await client.receives_nothing()
    xds.xds.publish(view(4, service(canary=("v2", 1000))))
    assert (await client.receive())[:2] == (RDS, [TABLE])


@pytest.mark.proves("xds-rule 10")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_nack_is_a_request_with_error_detail_and_nothing_else(xds: LocalServer, delta: bool) -> None:
    """Without one it is accepted, whatever version the client says to have; with an empty one it is NACKed."""
    xds.xds.publish(view(1, service()))
    client: SotwClient | DeltaClient = (await synced_delta_client(xds))[0] if delta else await synced_sotw_client(xds)
    names = () if delta else (TABLE,)
    for revision, error, told in ((2, None, "SYNCED"), (3, "", "ERROR")):
        xds.xds.publish(view(revision, service(canary=("v2", 500 * revision))))
        assert (await client.receive())[:2] == (RDS, [TABLE])
        await client.request(RDS, *names, nonce=client.last.nonce, error=error)
        await wait_until(lambda told=told: xds.xds.proxies()[0].state == told)


@pytest.mark.proves("xds-rule 6", "xds-rule 9")
async def test_every_response_has_the_control_plane_identifier_and_a_unique_nonce(xds: LocalServer) -> None:
    """Both forms; Envoy shows the identifier in its statistics."""
    xds.xds.publish(view(1, service()))
    nonces = []
    for client in (SotwClient(xds), DeltaClient(xds)):
        for url, names in ((CDS, ()), (EDS, ("fraud/v1",)), (LDS, ())):
            await client.request(url, *names)
            await client.receive()
            assert client.last.control_plane
            assert client.last.control_plane.identifier == "haldane/test"
            nonces.append((type(client), client.last.nonce))
    assert len(set(nonces)) == 6
    assert all(nonce for _, nonce in nonces)


PER_TYPE = {
    "envoy.service.cluster.v3.ClusterDiscoveryService": ("Clusters", CDS, (), BOTH),
    "envoy.service.endpoint.v3.EndpointDiscoveryService": ("Endpoints", EDS, ("fraud/v1",), ["fraud/v1"]),
    "envoy.service.listener.v3.ListenerDiscoveryService": ("Listeners", LDS, (), [TABLE]),
    "envoy.service.route.v3.RouteDiscoveryService": ("Routes", RDS, (TABLE,), [TABLE]),
}


@pytest.mark.proves("xds-rule 2")
@pytest.mark.parametrize("name", PER_TYPE)
async def test_a_per_type_service_needs_no_type_url(xds: LocalServer, name: str) -> None:
    """Its responses say it; both forms."""
    methods, url, names, found = PER_TYPE[name]
    xds.xds.publish(view(1, service()))
    stream, delta = SotwClient(xds, f"{name}/Stream{methods}"), DeltaClient(xds, f"{name}/Delta{methods}")
    await stream.request("", *names)
    assert await stream.receive() == (url, found)
    await delta.request("", *names)
    assert await delta.receive() == (url, found, [])


@pytest.mark.proves("xds-rule 8")
async def test_unknown_types_are_accepted_and_the_stream_continues(xds: LocalServer) -> None:
    """Unanswered in the SotW, answered as absent in Delta."""
    xds.xds.publish(view(1, service()))
    client, delta = SotwClient(xds), DeltaClient(xds)
    await client.request(SECRET, "certificate")
    await client.request("type.googleapis.com/envoy.api.v2.Cluster")
    await client.receives_nothing()
    await delta.request(SECRET, "certificate")
    assert await delta.receive() == (SECRET, [], ["certificate"])
    await delta.ack()
    await delta.receives_nothing()
