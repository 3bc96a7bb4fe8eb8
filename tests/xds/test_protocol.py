"""The protocol on the wire, by a client that shares no code with the server."""

import pytest

from tests.support.waiting import wait_until
from tests.xds.door import Door
from tests.xds.stranger import BOTH, CDS, EDS, LDS, RDS, SECRET, TABLE, Delta, Sotw, started, started_delta
from tests.xds.worlds import service, view


@pytest.mark.proves("xds-rule 43")
async def test_the_first_request_of_a_new_stream_is_answered_though_it_names_the_newest_version(xds: Door) -> None:
    """Of every type, whatever nonce it repeats: the client may have been about to warm what it names."""
    xds.xds.publish(view(1, service()))
    client = await started(xds)
    versions = {}
    for url, names in ((CDS, ()), (EDS, BOTH), (LDS, ()), (RDS, [TABLE])):
        again = Sotw(xds)
        await again.ask(url, *names)
        await again.hear()
        versions[url] = again.last.version_info
        again.call.cancel()
    client.call.cancel()
    back = Sotw(xds)
    for url, names in ((EDS, BOTH), (RDS, [TABLE]), (CDS, ()), (LDS, ())):
        await back.ask(url, *names, version=versions[url], nonce="an old stream's")
        expected = {CDS: BOTH, EDS: BOTH, LDS: [TABLE], RDS: [TABLE]}[url]
        assert await back.hear() == (url, expected)
        assert back.last.version_info == versions[url]


@pytest.mark.proves("xds-rule 12")
async def test_a_stale_nonce_is_not_answered_and_its_names_come_with_the_next_ack(xds: Door) -> None:
    """Superseded requests change nothing; nothing they asked for is lost."""
    xds.xds.publish(view(1, service()))
    client = Sotw(xds)
    await client.ask(EDS, "fraud/v1")
    assert await client.hear() == (EDS, ["fraud/v1"])
    await client.ask(EDS, *BOTH, nonce="nobody's")
    await client.ask(EDS, *BOTH)
    await client.ask(LDS)
    assert await client.hear() == (LDS, [TABLE])
    await client.ask(EDS, *BOTH, nonce="1")
    assert await client.hear() == (EDS, ["fraud/v2"])


@pytest.mark.proves("xds-rule 23")
async def test_what_is_asked_for_again_in_delta_is_sent_again(xds: Door) -> None:
    """Though the client acknowledged it: it may have forgotten it."""
    xds.xds.publish(view(1, service()))
    client, _ = await started_delta(xds)
    for url, name in ((EDS, "fraud/v1"), (RDS, TABLE)):
        await client.ask(url, name)
        assert await client.hear() == (url, [name], [])
        await client.ack()
    await client.silent()


@pytest.mark.proves("xds-rule 25")
async def test_dropping_a_name_while_everything_is_wanted_is_answered_in_delta(xds: Door) -> None:
    """What there is is sent, what there is not is removed; and what was never wanted is no offence."""
    xds.xds.publish(view(1, service()))
    client, _ = await started_delta(xds)
    await client.ask(CDS, "fraud/v1", "nobody/v1")
    assert await client.hear() == (CDS, ["fraud/v1"], ["nobody/v1"])
    await client.ack()
    await client.ask(CDS, drop=("fraud/v1", "nobody/v1"))
    assert await client.hear() == (CDS, ["fraud/v1"], ["nobody/v1"])
    await client.ack()
    await client.ask(EDS, drop=("never/v1",))
    await client.silent()


@pytest.mark.proves("xds-rule 26")
async def test_a_name_that_is_not_there_is_removed_at_once_in_delta_and_sent_when_it_is(xds: Door) -> None:
    """The client has no timer to wait for; the subscription stands."""
    xds.xds.publish(view(1, service()))
    client, _ = await started_delta(xds)
    await client.ask(EDS, "later/v1", "fraud/v1")
    assert await client.hear() == (EDS, ["fraud/v1"], ["later/v1"])
    await client.ack()
    xds.xds.publish(view(2, service(), service("later", port=10001)))
    assert {(await client.hear())[:2][0] for _ in range(3)} == {CDS, EDS, LDS}


@pytest.mark.proves("xds-rule 20")
async def test_in_the_state_of_the_world_everything_and_names_may_be_wanted_together(xds: Door) -> None:
    """`*` beside names; the names alone are left when `*` goes, nothing when they go, and everything never again."""
    xds.xds.publish(view(1, service(), service("other", port=10001)))
    client = Sotw(xds)
    await client.ask(CDS, "*", "fraud/v1")
    assert await client.hear() == (CDS, [*BOTH, "other/v1", "other/v2"])
    await client.ack("fraud/v1")
    xds.xds.publish(view(2, service(protocol="grpc"), service("other", port=10001, protocol="grpc")))
    assert await client.hear() == (CDS, ["fraud/v1"])
    await client.ack()  # no names: after names were given, none
    xds.xds.publish(view(3, service(), service("third", port=10002)))
    await client.silent()


@pytest.mark.proves("xds-rule 20")
async def test_in_delta_everything_and_names_may_be_wanted_together(xds: Door) -> None:
    """Dropping `*` keeps the names."""
    xds.xds.publish(view(1, service(), service("other", port=10001)))
    client = Delta(xds)
    await client.ask(CDS, "*", "fraud/v1")
    assert await client.hear() == (CDS, [*BOTH, "other/v1", "other/v2"], [])
    await client.ack()
    await client.ask(CDS, drop=("*",))
    await client.silent()
    xds.xds.publish(view(2, service(protocol="grpc"), service("other", port=10001, protocol="grpc")))
    assert await client.hear() == (CDS, ["fraud/v1"], [])


@pytest.mark.proves("xds-rule 21")
@pytest.mark.parametrize("url", [EDS, RDS])
async def test_an_empty_list_of_endpoints_or_routes_is_never_everything(xds: Door, url: str) -> None:
    """Not at first, and not after names."""
    xds.xds.publish(view(1, service()))
    client, delta = Sotw(xds), Delta(xds)
    await client.ask(url)
    await client.silent()
    await client.ask(url, "fraud/v1" if url == EDS else TABLE)
    await client.hear()
    await client.ack()
    await client.silent()
    await delta.ask(url)
    await delta.silent()


@pytest.mark.proves("xds-rule 45")
async def test_who_comes_back_to_delta_with_what_we_have_is_sent_nothing(xds: Door) -> None:
    """Of no type; but from the second message on a name that is asked for is sent, whatever was brought."""
    xds.xds.publish(view(1, service()))
    client, have = await started_delta(xds)
    client.call.cancel()
    back = Delta(xds)
    for url, names in ((CDS, []), (EDS, BOTH), (RDS, [TABLE]), (LDS, [])):
        await back.ask(url, *names, have=have[url])
    await back.silent()
    await back.ask(EDS, "fraud/v1")
    assert await back.hear() == (EDS, ["fraud/v1"], [])


@pytest.mark.proves("xds-rule 44")
async def test_who_comes_back_to_delta_is_sent_what_changed_and_what_went(xds: Door) -> None:
    """And not what did not."""
    xds.xds.publish(view(1, service(), service("other", port=10001)))
    client = Delta(xds)
    await client.ask(CDS)
    await client.hear()
    have = {each.name: each.version for each in client.last.resources}
    client.call.cancel()
    xds.xds.publish(view(2, service(versions={"v1": ["model.internal:9001"], "v2": ["127.0.0.1:9002"]})))
    back = Delta(xds)
    await back.ask(CDS, have=have)
    assert await back.hear() == (CDS, ["fraud/v1"], [])  # what it may still route to stays until its routes are known
    await back.ack()
    await back.ask(LDS)
    assert await back.hear() == (LDS, [TABLE], [])
    await back.ack()
    await back.ask(RDS, TABLE)
    assert await back.hear() == (RDS, [TABLE], [])
    await back.ack()
    assert await back.hear() == (CDS, [], ["other/v1", "other/v2"])


@pytest.mark.proves("xds-rule 40")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_changed_cluster_brings_its_endpoints_again(xds: Door, delta: bool) -> None:
    """They are the same, but the client warms the cluster anew and waits for them; nobody waits for its ACK."""
    xds.xds.publish(view(1, service()))
    client = (await started_delta(xds))[0] if delta else await started(xds)
    await client.silent()
    xds.xds.publish(view(2, service(protocol="grpc")))
    assert (await client.hear())[:2] == (CDS, BOTH)
    assert (await client.hear())[:2] == (EDS, BOTH)


@pytest.mark.proves("xds-rule 11")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_what_was_refused_is_not_sent_until_it_changes(xds: Door, delta: bool) -> None:
    """Not at once, not with the next revision that leaves it as it is; and a refusal is known by its error alone."""
    xds.xds.publish(view(1, service()))
    client = (await started_delta(xds))[0] if delta else await started(xds)
    names = () if delta else (TABLE,)
    xds.xds.publish(view(2, service(canary=("v2", 500))))
    assert (await client.hear())[:2] == (RDS, [TABLE])
    await client.ask(RDS, *names, nonce=client.last.nonce, error="no such thing")
    await client.silent()
    xds.xds.publish(view(3, service(canary=("v2", 500), revision=3)))
    await client.silent()
    xds.xds.publish(view(4, service(canary=("v2", 1000))))
    assert (await client.hear())[:2] == (RDS, [TABLE])


@pytest.mark.proves("xds-rule 10")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_refusal_is_its_error_and_nothing_else(xds: Door, delta: bool) -> None:
    """Without one it is accepted, whatever version the client says to have; with an empty one it is refused."""
    xds.xds.publish(view(1, service()))
    client: Sotw | Delta = (await started_delta(xds))[0] if delta else await started(xds)
    names = () if delta else (TABLE,)
    for revision, error, told in ((2, None, "SYNCED"), (3, "", "ERROR")):
        xds.xds.publish(view(revision, service(canary=("v2", 500 * revision))))
        assert (await client.hear())[:2] == (RDS, [TABLE])
        await client.ask(RDS, *names, nonce=client.last.nonce, error=error)
        await wait_until(lambda told=told: xds.xds.proxies()[0].state == told)


@pytest.mark.proves("xds-rule 6", "xds-rule 9")
async def test_every_response_names_the_replica_and_has_a_nonce_of_its_own(xds: Door) -> None:
    """Both forms; Envoy shows the identifier in its statistics."""
    xds.xds.publish(view(1, service()))
    nonces = []
    for client in (Sotw(xds), Delta(xds)):
        for url, names in ((CDS, ()), (EDS, ("fraud/v1",)), (LDS, ())):
            await client.ask(url, *names)
            await client.hear()
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
async def test_a_service_of_one_type_needs_no_type(xds: Door, name: str) -> None:
    """Its responses say it; both forms."""
    methods, url, names, found = PER_TYPE[name]
    xds.xds.publish(view(1, service()))
    stream, delta = Sotw(xds, f"{name}/Stream{methods}"), Delta(xds, f"{name}/Delta{methods}")
    await stream.ask("", *names)
    assert await stream.hear() == (url, found)
    await delta.ask("", *names)
    assert await delta.hear() == (url, found, [])


@pytest.mark.proves("xds-rule 8")
async def test_types_that_nobody_serves_are_held_and_the_stream_goes_on(xds: Door) -> None:
    """Unanswered in the state of the world, answered as absent in Delta."""
    xds.xds.publish(view(1, service()))
    client, delta = Sotw(xds), Delta(xds)
    await client.ask(SECRET, "certificate")
    await client.ask("type.googleapis.com/envoy.api.v2.Cluster")
    await client.silent()
    await delta.ask(SECRET, "certificate")
    assert await delta.hear() == (SECRET, [], ["certificate"])
    await delta.ack()
    await delta.silent()
