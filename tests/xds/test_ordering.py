"""Make before break, on one stream: additions wait for the clusters' ACK, removals for the routes'."""

import pytest

from controller.core.model.service_state import ServiceState
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, SettleTimeout
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.scripted_client import ScriptedClient, names, synced_client, types
from tests.xds.simulated_envoy import SimulatedEnvoy, SimulatedStream, settle_timeout
from tests.xds.views import service

TABLE = "127.0.0.1:10000"
ONE = {"v1": ["127.0.0.1:9001"]}
TWO = {"v1": ["127.0.0.1:9001"], "v2": ["127.0.0.1:9002"]}


@pytest.mark.proves("xds-rule 27", "xds-rule 37")
def test_a_route_waits_for_the_ack_of_its_new_cluster() -> None:
    """Added and routed in one change: clusters first, routes when they are warm. Sending in order is not enough."""
    client = synced_client(service(versions=ONE))
    (clusters,) = client.publish(service(versions=TWO, canary=("v2", 500)))
    assert clusters.type_url == CDS
    (endpoints,) = client.request(EDS, "fraud/v1", "fraud/v2", nonce=client.newest_nonce(EDS))
    assert names(endpoints) == ["fraud/v2"]
    assert client.ack(endpoints, "fraud/v1", "fraud/v2") == []
    (routes,) = client.ack(clusters)
    assert routes.type_url == RDS


@pytest.mark.proves("xds-rule 38")
def test_endpoints_do_not_wait_for_the_ack_of_clusters() -> None:
    """Envoy ACKs clusters only when they are warm: to wait for each other would be a deadlock."""
    client = ScriptedClient(service())
    assert types(client.request(CDS)) == [CDS]
    assert types(client.request(EDS, "fraud/v1", "fraud/v2")) == [EDS]


@pytest.mark.proves("xds-rule 35", "xds-rule 39")
def test_a_cluster_stays_until_the_routes_without_it_are_acked() -> None:
    """Taken away and routed past in one change: the routes first, then the cluster and its endpoints."""
    client = synced_client(service(versions=TWO, canary=("v2", 5000)), delta=True)
    (routes,) = client.publish(service(versions=ONE))
    assert routes.type_url == RDS
    (clusters,) = client.ack(routes)
    assert (clusters.type_url, clusters.removed_resources) == (CDS, ("fraud/v2",))
    (endpoints,) = client.ack(clusters)
    assert (endpoints.type_url, endpoints.removed_resources) == (EDS, ("fraud/v2",))


def test_a_rollback_goes_out_while_clusters_warm() -> None:
    """Routes that need only what is in place wait for no one."""
    client = synced_client(service(versions=TWO, canary=("v2", 500)))
    three = TWO | {"v3": ["127.0.0.1:9003"]}
    (clusters,) = client.publish(service(versions=three, canary=("v2", 500)))
    assert clusters.type_url == CDS
    (routes,) = client.publish(service(versions=three))
    assert routes.type_url == RDS


def test_a_service_that_cannot_be_routed_yet_delays_no_other() -> None:
    """On a shared port: the new service waits for its clusters, the other's weights move meanwhile."""
    client = synced_client(service("a", hosts=("a.example",)))
    both = [service("a", hosts=("a.example",)), service("b", hosts=("b.example",))]
    (clusters,) = client.publish(*both)
    assert clusters.type_url == CDS
    both[0] = service("a", hosts=("a.example",), canary=("v2", 500))
    (routes,) = client.publish(*both)
    assert [host.name for host in routes.resources[0].virtual_hosts] == ["a"]
    client.ack(routes, TABLE)
    (whole,) = client.ack(clusters)
    assert [host.name for host in whole.resources[0].virtual_hosts] == ["a", "b"]
    assert whole.version_info == client.snapshot.catalogue(RDS).version


def test_a_nacked_virtual_host_delays_no_rollback_of_another_service() -> None:
    """On a shared port: what the proxy NACKs of one service stays out, the other's rollback gets through."""
    good = service("a", hosts=("a.example",), canary=("v2", 500))
    client = synced_client(good)
    (clusters,) = client.publish(good, service("b", hosts=("b.example",)))
    (routes,) = client.ack(clusters)
    assert client.nack(routes, TABLE, error="virtual host b is no good") == []
    (rolled,) = client.publish(service("a", hosts=("a.example",)), service("b", hosts=("b.example",)))
    assert [host.name for host in rolled.resources[0].virtual_hosts] == ["a"]
    assert client.ack(rolled, TABLE) == []


def test_a_nacked_cluster_keeps_its_last_good_version_and_its_routes() -> None:
    """The rest of the response counts as applied, as Envoy does, and as warm with its endpoints."""
    client = synced_client(service(versions=ONE))
    clusters, _ = client.publish(service(versions=TWO, canary=("v2", 500)), service("other", port=10001))
    error = "Error adding/updating cluster(s) fraud/v2: no good"
    assert client.nack(clusters, error=error) == []
    assert client.request(RDS, TABLE, "127.0.0.1:10001", nonce=client.newest_nonce(RDS)) == []
    wanted = ("fraud/v1", "other/v1", "other/v2")
    (endpoints,) = client.request(EDS, *wanted, nonce=client.newest_nonce(EDS))
    (routes,) = client.ack(endpoints, *wanted)
    assert names(routes) == ["127.0.0.1:10001"]


@pytest.mark.proves("xds-bug go-control-plane #245")
def test_endpoints_are_sent_again_when_their_cluster_changes() -> None:
    """A changed cluster warms again and waits for endpoints, though they are the same."""
    for delta in (False, True):
        client = synced_client(service(), delta=delta)
        clusters, endpoints = client.publish(service(protocol="grpc"))
        assert (clusters.type_url, endpoints.type_url) == (CDS, EDS)
        assert names(endpoints) == ["fraud/v1", "fraud/v2"]


def test_a_cluster_removed_while_it_warms_still_gets_its_endpoints() -> None:
    """Else the proxy would not ACK it for 15 s, and every further change of clusters would wait."""
    client = synced_client(service(versions=ONE))
    (clusters,) = client.publish(service(versions=TWO))
    assert client.publish(service(versions=ONE)) == []
    (endpoints,) = client.request(EDS, "fraud/v1", "fraud/v2", nonce=client.newest_nonce(EDS))
    assert names(endpoints) == ["fraud/v2"]
    assert types(client.ack(clusters)) == [CDS]


def test_a_client_that_subscribes_to_routes_first_is_served() -> None:
    """Proxyless gRPC asks for the listener, its routes, then the clusters in them, all by name."""
    client = ScriptedClient(service(canary=("v2", 500)))
    for type_url, asked in ((LDS, "fraud"), (RDS, "fraud/proxyless"), (CDS, "fraud/v1"), (EDS, "fraud/v1")):
        (response,) = client.request(type_url, asked)
        assert names(response) == [asked]
        assert client.ack(response, asked) == []
    three = TWO | {"v3": ["127.0.0.1:9003"]}
    (routes,) = client.publish(service(versions=three, canary=("v3", 500)))
    assert routes.type_url == RDS


@pytest.mark.proves("xds-rule 35", "xds-rule 53")
def test_a_listener_is_removed_before_its_clusters() -> None:
    """A deleted service: the door first, then what was behind it; also for a client that never says it stopped."""
    client = synced_client(service(versions=ONE), service("other", port=10001))
    (listeners,) = client.publish(service("other", port=10001))
    assert (listeners.type_url, names(listeners)) == (LDS, ["127.0.0.1:10001"])
    assert types(client.ack(listeners)) == [CDS]


def test_a_reconnected_client_keeps_the_clusters_it_may_still_route_to() -> None:
    """Removed while it was away: SotW and Delta both keep them until its routes are ACKed."""
    before = synced_client(service(versions=TWO, canary=("v2", 5000)))
    for delta in (False, True):
        client = ScriptedClient(service(versions=TWO, canary=("v2", 5000)), delta=delta)
        client.publish(service(versions=ONE))
        if delta:
            initial = [(r.name, r.version) for r in before.snapshot.catalogue(CDS).listed.values()]
            assert client.subscribe(CDS, initial=initial) == []
            old = [(TABLE, before.snapshot.catalogue(RDS).listed[TABLE].version)]
            (routes,) = client.subscribe(RDS, TABLE, initial=old)
        else:
            (clusters,) = client.request(CDS, version=before.snapshot.catalogue(CDS).version)
            assert names(clusters) == ["fraud/v1", "fraud/v2"]
            client.ack(clusters)
            (routes,) = client.request(RDS, TABLE, version="any")
        (after,) = client.ack(routes, TABLE)
        assert after.type_url == CDS
        assert (after.removed_resources if delta else tuple(names(after))) == (
            ("fraud/v2",) if delta else ("fraud/v1",)
        )


def test_a_cluster_that_a_reconnected_client_has_lost_is_not_restored() -> None:
    """What went long after it came back stays gone, also while its routes are on their way."""
    before = synced_client(service(versions=TWO))
    client = ScriptedClient(service(versions=TWO), revision=2)
    (clusters,) = client.request(CDS, version=before.snapshot.catalogue(CDS).version)
    client.ack(clusters)
    (routes,) = client.request(RDS, TABLE)
    client.ack(routes, TABLE)
    (fewer,) = client.publish(service(versions=ONE))
    client.ack(fewer)
    three = ONE | {"v3": ["127.0.0.1:9003"]}
    (more,) = client.publish(service(versions=three))
    client.ack(more)
    (step,) = client.publish(service(versions=three, canary=("v3", 500)))
    assert step.type_url == RDS
    (last,) = client.publish(service(versions=three | {"v4": ["127.0.0.1:9004"]}, canary=("v3", 500)))
    assert (last.type_url, names(last)) == (CDS, ["fraud/v1", "fraud/v3", "fraud/v4"])


def test_a_client_without_routes_loses_removed_clusters_after_the_settle_timeout() -> None:
    """One that asks for clusters alone is told of removals once it has had time to ask for more."""
    before = ScriptedClient(service(versions=TWO))
    client = ScriptedClient(service(versions=ONE), delta=True, revision=2)
    initial = [(r.name, r.version) for r in before.snapshot.catalogue(CDS).listed.values()]
    assert client.subscribe(CDS, initial=initial) == []
    (gone,) = client.event(SettleTimeout())
    assert gone.removed_resources == ("fraud/v2",)


@pytest.mark.proves("fault 14")
def test_routes_wait_while_the_proxy_is_ahead_of_the_controller() -> None:
    """A replica that lags answers endpoints at once, and the rest when it has caught up: a canary that was rolled back
    gets no traffic again for a moment."""
    seen = f"{ScriptedClient().snapshot.store}.{9:016d}-0123456789abcdef"
    client = ScriptedClient(service(canary=("v2", 5000)), revision=8)
    assert client.request(CDS, version=seen) == []
    (endpoints,) = client.request(EDS, "fraud/v1", version=seen)
    assert endpoints.type_url == EDS
    assert client.request(RDS, TABLE, version=seen) == []
    (clusters,) = client.publish(service(), revision=9)
    assert clusters.type_url == CDS
    (routes,) = client.ack(clusters)
    assert routes.type_url == RDS


@pytest.mark.proves("fault 14", "track-record 66")
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize(
    "older", [(), (service(versions=ONE),), (service("other", port=10001),)], ids=["no service", "no v2", "another"]
)
def test_a_controller_that_is_behind_removes_nothing_from_a_proxy(older: tuple[ServiceState, ...], delta: bool) -> None:
    """A service or a version that is newer than what a replica that lags knows: it serves on, then and later."""
    newer = (service(versions=TWO, canary=("v2", 5000)),)
    proxy = SimulatedEnvoy(delta=delta)
    SimulatedStream(proxy, ScriptedClient(*newer, revision=9).snapshot).deliver_all()
    behind = ScriptedClient(*older, revision=8)
    link = SimulatedStream(proxy, behind.snapshot)
    settle_timeout(link)
    link.deliver_all()
    assert (proxy.fault(), sorted(proxy.clusters), list(proxy.routes)) == ("", ["fraud/v1", "fraud/v2"], [TABLE])
    behind.publish(service(versions=ONE), revision=10)
    link.step(behind.snapshot)
    link.deliver_all()
    assert (proxy.fault(), sorted(proxy.clusters), list(proxy.routes)) == ("", ["fraud/v1"], [TABLE])


@pytest.mark.proves("track-record 74")
@pytest.mark.parametrize("delta", [False, True], ids=["state of the world", "delta"])
def test_a_restored_store_is_served_at_once_if_it_is_not_shared(delta: bool) -> None:
    """What the proxy saw of later revisions is no one's any more: a rollback must not wait until there are as many."""
    proxy = SimulatedEnvoy(delta=delta)
    SimulatedStream(
        proxy, ScriptedClient(service(versions=TWO, canary=("v2", 5000)), revision=900).snapshot
    ).deliver_all()
    copy = ScriptedClient(service(versions=TWO, canary=("v2", 2000)), revision=400)
    link = SimulatedStream(proxy, copy.snapshot, shared=False)
    settle_timeout(link)
    link.deliver_all()
    assert (proxy.fault(), link.stream.seen_revision) == ("", 900)
    assert proxy.routes[TABLE].content == copy.snapshot.catalogue(RDS).find(TABLE).content
    copy.publish(service(versions=TWO), revision=401)
    link.step(copy.snapshot)
    link.deliver_all()
    assert proxy.routes[TABLE].content == copy.snapshot.catalogue(RDS).find(TABLE).content


def test_a_wiped_store_delays_nothing() -> None:
    """Revisions are compared within one store alone."""
    seen = f"another-store.{9:016d}-0123456789abcdef"
    client = ScriptedClient(service(), revision=1)
    client.request(CDS, "fraud/v1", version=seen)
    assert types(client.request(RDS, TABLE, version=seen)) == [RDS]


@pytest.mark.proves("fault 13", "xds-rule 52")
def test_an_empty_store_removes_nothing_from_a_proxy() -> None:
    """A wiped store has never said that the services are gone; the proxy keeps them until there is something to say."""
    for version in (f"another-store.{9:016d}-0123456789abcdef", "somebody else's"):
        client = ScriptedClient(revision=3)
        assert client.request(CDS, version=version) == []
        assert client.request(LDS, version=version) == []
        assert types(client.publish(service())) == [CDS, LDS]
    delta = ScriptedClient(delta=True)
    assert delta.subscribe(CDS, initial=[("fraud/v1", "somebody else's")]) == []


def test_a_removal_that_this_store_knows_of_is_sent() -> None:
    """The last service was deleted while the proxy was away: it is told."""
    before = ScriptedClient(service())
    client = ScriptedClient(revision=2)
    (clusters,) = client.request(CDS, version=before.snapshot.catalogue(CDS).version)
    assert names(clusters) == []


def test_routes_of_a_reconnected_client_are_sent_once_it_acks_a_full_set() -> None:
    """Its version says that it has all clusters: routes need not wait for what it has."""
    before = ScriptedClient(service())
    client = ScriptedClient(service(), revision=5)
    client.request(CDS, version=before.snapshot.catalogue(CDS).version)
    assert types(client.request(RDS, TABLE)) == [RDS]


@pytest.mark.proves("xds-rule 42")
def test_a_reconnected_delta_client_gets_endpoints_for_a_changed_cluster() -> None:
    """The endpoints are the same, but the changed cluster waits for them."""
    before = synced_client(service(), delta=True)
    client = ScriptedClient(service(protocol="grpc"), delta=True, revision=2)
    clusters = [(r.name, r.version) for r in before.snapshot.catalogue(CDS).listed.values()]
    endpoints = [(r.name, r.version) for r in before.snapshot.catalogue(EDS).listed.values()]
    (changed,) = client.subscribe(CDS, initial=clusters)
    assert names(changed) == ["fraud/v1", "fraud/v2"]
    (again,) = client.event(
        DeltaDiscoveryRequest(EDS, subscribe=("fraud/v1", "fraud/v2"), initial_resource_versions=tuple(endpoints))
    )
    assert names(again) == ["fraud/v1", "fraud/v2"]


def brought(client: ScriptedClient, type_url: str) -> list[tuple[str, str]]:
    """The versions that a Delta client has after it was served."""
    return [(r.name, r.version) for r in client.snapshot.catalogue(type_url).listed.values()]


@pytest.mark.proves("track-record 43", "xds-rule 42")
def test_a_client_that_reconnects_while_warming_gets_its_endpoints_again() -> None:
    """Its cluster changed, and the connection broke before the endpoints came. Envoy asks for everything but clusters
    then, and says to have the endpoints, which it has of the cluster as it was: unsent, it would wait for 15 s."""
    before = synced_client(service(protocol="grpc"), delta=True)
    client = ScriptedClient(service(protocol="grpc"), delta=True)
    (again,) = client.event(
        DeltaDiscoveryRequest(EDS, ("fraud/v1", "fraud/v2"), initial_resource_versions=tuple(brought(before, EDS)))
    )
    assert names(again) == ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("track-record 43")
def test_a_client_that_reconnects_while_warming_gets_the_endpoints_of_removed_clusters() -> None:
    """What it warms was taken away meanwhile: it must get done with it before it asks for clusters at all."""
    for delta in (False, True):
        client = ScriptedClient(service(versions=TWO), delta=delta)
        client.publish(service(versions=ONE))
        (left,) = client.subscribe(EDS, "fraud/v2") if delta else client.request(EDS, "fraud/v2")
        assert names(left) == ["fraud/v2"]
        client.ack(left, "fraud/v2")
        clusters = (client.subscribe(CDS) if delta else client.request(CDS))[0]
        assert (clusters.type_url, names(clusters)) == (CDS, ["fraud/v1"])


@pytest.mark.proves("track-record 42")
def test_a_client_that_reconnects_while_warming_gets_its_routes_after_its_clusters() -> None:
    """It takes all listeners and has yet to ask for clusters: until it does, or had time to, it keeps its routes."""
    for settles in (False, True):
        client = ScriptedClient(service(canary=("v2", 5000)))
        (listeners,) = client.request(LDS, version="any")
        client.ack(listeners)
        assert client.request(RDS, TABLE, version="any") == []
        responses = client.event(SettleTimeout()) if settles else client.ack(client.request(CDS, version="any")[0])
        assert RDS in types(responses)


def test_a_listener_of_ones_own_that_reconnects_while_warming_gets_its_routes_after_its_clusters() -> None:
    """It requests no listeners, as no gRPC client does: its routes wait for the clusters all the same."""
    for settles in (False, True):
        client = ScriptedClient(service(canary=("v2", 5000), route_config="mine"))
        assert client.request(RDS, "mine", version="any") == []
        responses = client.event(SettleTimeout()) if settles else client.ack(client.request(CDS, version="any")[0])
        assert RDS in types(responses)


@pytest.mark.proves("track-record 44")
def test_a_reconnected_delta_client_loses_no_virtual_host_while_clusters_warm() -> None:
    """On a shared port: what it has of the table is not known, so one without the service that waits would cut it."""
    a, b = service("a", hosts=("a.example",)), service("b", hosts=("b.example",), versions=ONE)
    before = synced_client(a, b, delta=True)
    moved = service("b", hosts=("b.example",), versions=TWO, canary=("v2", 5000))
    client = ScriptedClient(service("a", hosts=("a.example",), canary=("v2", 500)), moved, delta=True, revision=2)
    (clusters,) = client.subscribe(CDS, initial=brought(before, CDS))
    assert names(clusters) == ["b/v2"]
    assert client.subscribe(RDS, TABLE, initial=brought(before, RDS)) == []
    (routes,) = client.ack(clusters)
    assert [host.name for host in routes.resources[0].virtual_hosts] == ["a", "b"]


def test_a_restored_listener_gets_its_routes_even_without_an_unsubscribe() -> None:
    """Gone and back in a moment: the client's two changes of mind may reach us as none."""
    other = service("other", port=10001)
    client = synced_client(service(versions=ONE), other)
    (listeners,) = client.publish(other)
    (clusters,) = client.ack(listeners)
    back, routes = client.publish(service(versions=ONE), other)
    assert (clusters.type_url, back.type_url, names(routes)) == (CDS, LDS, [TABLE])
