"""Make before break, on one stream: additions wait for the clusters' ACK, removals for the routes'."""

import pytest

from controller.core.model.state import ServiceState
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, SettleTimeout
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.proxies import Link, Proxy, settle
from tests.xds.talk import Talk, greeted, names, types
from tests.xds.worlds import service

TABLE = "127.0.0.1:10000"
ONE = {"v1": ["127.0.0.1:9001"]}
TWO = {"v1": ["127.0.0.1:9001"], "v2": ["127.0.0.1:9002"]}


@pytest.mark.proves("xds-rule 27", "xds-rule 37")
def test_a_route_waits_for_the_acknowledgement_of_its_new_cluster() -> None:
    """Added and routed in one change: clusters first, routes when they are warm. Sending in order is not enough."""
    talk = greeted(service(versions=ONE))
    (clusters,) = talk.publish(service(versions=TWO, canary=("v2", 500)))
    assert clusters.type_url == CDS
    (endpoints,) = talk.ask(EDS, "fraud/v1", "fraud/v2", nonce=talk.stream.types[EDS].nonce)
    assert names(endpoints) == ["fraud/v2"]
    assert talk.ack(endpoints, "fraud/v1", "fraud/v2") == []
    (routes,) = talk.ack(clusters)
    assert routes.type_url == RDS


@pytest.mark.proves("xds-rule 38")
def test_endpoints_do_not_wait_for_the_acknowledgement_of_clusters() -> None:
    """Envoy acknowledges clusters only when they are warm: to wait for each other would be a deadlock."""
    talk = Talk(service())
    assert types(talk.ask(CDS)) == [CDS]
    assert types(talk.ask(EDS, "fraud/v1", "fraud/v2")) == [EDS]


@pytest.mark.proves("xds-rule 35", "xds-rule 39")
def test_a_cluster_stays_until_the_routes_without_it_are_acknowledged() -> None:
    """Taken away and routed past in one change: the routes first, then the cluster and its endpoints."""
    talk = greeted(service(versions=TWO, canary=("v2", 5000)), delta=True)
    (routes,) = talk.publish(service(versions=ONE))
    assert routes.type_url == RDS
    (clusters,) = talk.ack(routes)
    assert (clusters.type_url, clusters.removed_resources) == (CDS, ("fraud/v2",))
    (endpoints,) = talk.ack(clusters)
    assert (endpoints.type_url, endpoints.removed_resources) == (EDS, ("fraud/v2",))


def test_a_rollback_goes_out_while_clusters_warm() -> None:
    """Routes that need only what is in place wait for nobody."""
    talk = greeted(service(versions=TWO, canary=("v2", 500)))
    three = TWO | {"v3": ["127.0.0.1:9003"]}
    (clusters,) = talk.publish(service(versions=three, canary=("v2", 500)))
    assert clusters.type_url == CDS
    (routes,) = talk.publish(service(versions=three))
    assert routes.type_url == RDS


def test_a_neighbour_that_cannot_be_routed_yet_holds_nobody_back() -> None:
    """On a shared port: the new service waits for its clusters, the other's weights move meanwhile."""
    talk = greeted(service("a", hosts=("a.example",)))
    both = [service("a", hosts=("a.example",)), service("b", hosts=("b.example",))]
    (clusters,) = talk.publish(*both)
    assert clusters.type_url == CDS
    both[0] = service("a", hosts=("a.example",), canary=("v2", 500))
    (routes,) = talk.publish(*both)
    assert [host.name for host in routes.resources[0].virtual_hosts] == ["a"]
    talk.ack(routes, TABLE)
    (whole,) = talk.ack(clusters)
    assert [host.name for host in whole.resources[0].virtual_hosts] == ["a", "b"]
    assert whole.version_info == talk.snapshot.catalogue(RDS).version


def test_a_neighbour_that_is_refused_holds_back_no_rollback() -> None:
    """On a shared port: what the proxy refuses of one service stays out, the other's rollback gets through."""
    good = service("a", hosts=("a.example",), canary=("v2", 500))
    talk = greeted(good)
    (clusters,) = talk.publish(good, service("b", hosts=("b.example",)))
    (routes,) = talk.ack(clusters)
    assert talk.nack(routes, TABLE, error="virtual host b is no good") == []
    (rolled,) = talk.publish(service("a", hosts=("a.example",)), service("b", hosts=("b.example",)))
    assert [host.name for host in rolled.resources[0].virtual_hosts] == ["a"]
    assert talk.ack(rolled, TABLE) == []


def test_a_refused_cluster_keeps_its_last_good_form_and_its_service_its_routes() -> None:
    """The rest of the response counts as applied, as Envoy does."""
    talk = greeted(service(versions=ONE))
    clusters, _ = talk.publish(service(versions=TWO, canary=("v2", 500)), service("other", port=10001))
    error = "Error adding/updating cluster(s) fraud/v2: no good"
    assert talk.nack(clusters, error=error) == []
    (routes,) = talk.ask(RDS, TABLE, "127.0.0.1:10001", nonce=talk.stream.types[RDS].nonce)
    assert names(routes) == ["127.0.0.1:10001"]


@pytest.mark.proves("xds-bug go-control-plane #245")
def test_endpoints_are_sent_again_when_their_cluster_changes() -> None:
    """A changed cluster warms anew and waits for endpoints, though they are the same."""
    for delta in (False, True):
        talk = greeted(service(), delta=delta)
        clusters, endpoints = talk.publish(service(protocol="grpc"))
        assert (clusters.type_url, endpoints.type_url) == (CDS, EDS)
        assert names(endpoints) == ["fraud/v1", "fraud/v2"]


def test_a_cluster_that_goes_before_it_is_warm_still_gets_its_endpoints() -> None:
    """Else the proxy would not acknowledge it for 15 s, and every further change of clusters would wait."""
    talk = greeted(service(versions=ONE))
    (clusters,) = talk.publish(service(versions=TWO))
    assert talk.publish(service(versions=ONE)) == []
    (endpoints,) = talk.ask(EDS, "fraud/v1", "fraud/v2", nonce=talk.stream.types[EDS].nonce)
    assert names(endpoints) == ["fraud/v2"]
    assert types(talk.ack(clusters)) == [CDS]


def test_a_client_that_asks_for_routes_first_is_served() -> None:
    """Proxyless gRPC asks for the listener, its routes, then the clusters in them, all by name."""
    talk = Talk(service(canary=("v2", 500)))
    for type_url, asked in ((LDS, "fraud"), (RDS, "fraud"), (CDS, "fraud/v1"), (EDS, "fraud/v1")):
        (reply,) = talk.ask(type_url, asked)
        assert names(reply) == [asked]
        assert talk.ack(reply, asked) == []
    three = TWO | {"v3": ["127.0.0.1:9003"]}
    (routes,) = talk.publish(service(versions=three, canary=("v3", 500)))
    assert routes.type_url == RDS


@pytest.mark.proves("xds-rule 35", "xds-rule 53")
def test_a_listener_goes_before_its_clusters() -> None:
    """A deleted service: the door first, then what was behind it; also for a client that never says it stopped."""
    talk = greeted(service(versions=ONE), service("other", port=10001))
    (listeners,) = talk.publish(service("other", port=10001))
    assert (listeners.type_url, names(listeners)) == (LDS, ["127.0.0.1:10001"])
    assert types(talk.ack(listeners)) == [CDS]


def test_a_client_that_comes_back_keeps_the_clusters_it_may_still_route_to() -> None:
    """Removed while it was away: state of the world and Delta both keep them until its routes are acknowledged."""
    before = greeted(service(versions=TWO, canary=("v2", 5000)))
    for delta in (False, True):
        talk = Talk(service(versions=TWO, canary=("v2", 5000)), delta=delta)
        talk.publish(service(versions=ONE))
        if delta:
            initial = [(r.name, r.version) for r in before.snapshot.catalogue(CDS).listed.values()]
            assert talk.subscribe(CDS, initial=initial) == []
            old = [(TABLE, before.snapshot.catalogue(RDS).listed[TABLE].version)]
            (routes,) = talk.subscribe(RDS, TABLE, initial=old)
        else:
            (clusters,) = talk.ask(CDS, version=before.snapshot.catalogue(CDS).version)
            assert names(clusters) == ["fraud/v1", "fraud/v2"]
            talk.ack(clusters)
            (routes,) = talk.ask(RDS, TABLE, version="any")
        (after,) = talk.ack(routes, TABLE)
        assert after.type_url == CDS
        assert (after.removed_resources if delta else tuple(names(after))) == (
            ("fraud/v2",) if delta else ("fraud/v1",)
        )


def test_what_a_client_that_came_back_has_lost_since_never_returns() -> None:
    """What went long after it came back stays gone, also while its routes are on their way."""
    before = greeted(service(versions=TWO))
    talk = Talk(service(versions=TWO), revision=2)
    (clusters,) = talk.ask(CDS, version=before.snapshot.catalogue(CDS).version)
    talk.ack(clusters)
    (routes,) = talk.ask(RDS, TABLE)
    talk.ack(routes, TABLE)
    (fewer,) = talk.publish(service(versions=ONE))
    talk.ack(fewer)
    three = ONE | {"v3": ["127.0.0.1:9003"]}
    (more,) = talk.publish(service(versions=three))
    talk.ack(more)
    (step,) = talk.publish(service(versions=three, canary=("v3", 500)))
    assert step.type_url == RDS
    (last,) = talk.publish(service(versions=three | {"v4": ["127.0.0.1:9004"]}, canary=("v3", 500)))
    assert (last.type_url, names(last)) == (CDS, ["fraud/v1", "fraud/v3", "fraud/v4"])


def test_a_client_without_routes_loses_what_is_gone_after_a_while() -> None:
    """One that asks for clusters alone is told of removals once it has had time to ask for more."""
    before = Talk(service(versions=TWO))
    talk = Talk(service(versions=ONE), delta=True, revision=2)
    initial = [(r.name, r.version) for r in before.snapshot.catalogue(CDS).listed.values()]
    assert talk.subscribe(CDS, initial=initial) == []
    (gone,) = talk.event(SettleTimeout())
    assert gone.removed_resources == ("fraud/v2",)


@pytest.mark.proves("fault 14")
def test_routes_wait_until_we_have_seen_what_the_proxy_has_seen() -> None:
    """A replica that lags answers endpoints at once, and the rest when it has caught up: a canary that was rolled back
    gets no traffic again for a moment."""
    seen = f"{Talk().snapshot.store}.{9:016d}-0123456789abcdef"
    talk = Talk(service(canary=("v2", 5000)), revision=8)
    assert talk.ask(CDS, version=seen) == []
    (endpoints,) = talk.ask(EDS, "fraud/v1", version=seen)
    assert endpoints.type_url == EDS
    assert talk.ask(RDS, TABLE, version=seen) == []
    (clusters,) = talk.publish(service(), revision=9)
    assert clusters.type_url == CDS
    (routes,) = talk.ack(clusters)
    assert routes.type_url == RDS


@pytest.mark.proves("fault 14", "track-record 66")
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize(
    "older", [(), (service(versions=ONE),), (service("other", port=10001),)], ids=["no service", "no v2", "another"]
)
def test_who_does_not_know_yet_what_the_proxy_has_takes_nothing_away(
    older: tuple[ServiceState, ...], delta: bool
) -> None:
    """A service or a version that is newer than what a replica that lags knows: it serves on, then and later."""
    newer = (service(versions=TWO, canary=("v2", 5000)),)
    proxy = Proxy(delta=delta)
    Link(proxy, Talk(*newer, revision=9).snapshot).run()
    behind = Talk(*older, revision=8)
    link = Link(proxy, behind.snapshot)
    settle(link)
    link.run()
    assert (proxy.fault(), sorted(proxy.clusters), list(proxy.routes)) == ("", ["fraud/v1", "fraud/v2"], [TABLE])
    behind.publish(service(versions=ONE), revision=10)
    link.turn(behind.snapshot)
    link.run()
    assert (proxy.fault(), sorted(proxy.clusters), list(proxy.routes)) == ("", ["fraud/v1"], [TABLE])


@pytest.mark.proves("track-record 74")
@pytest.mark.parametrize("delta", [False, True], ids=["state of the world", "delta"])
def test_a_copy_that_was_put_back_is_served_at_once_where_nobody_else_has_the_store(delta: bool) -> None:
    """What the proxy saw of later revisions is nobody's any more: a rollback must not wait until there are as many."""
    proxy = Proxy(delta=delta)
    Link(proxy, Talk(service(versions=TWO, canary=("v2", 5000)), revision=900).snapshot).run()
    copy = Talk(service(versions=TWO, canary=("v2", 2000)), revision=400)
    link = Link(proxy, copy.snapshot, shared=False)
    settle(link)
    link.run()
    assert (proxy.fault(), link.stream.seen_revision) == ("", 900)
    assert proxy.routes[TABLE].content == copy.snapshot.catalogue(RDS).find(TABLE).content
    copy.publish(service(versions=TWO), revision=401)
    link.turn(copy.snapshot)
    link.run()
    assert proxy.routes[TABLE].content == copy.snapshot.catalogue(RDS).find(TABLE).content


def test_a_wiped_store_makes_nobody_wait() -> None:
    """Revisions are compared within one store alone."""
    seen = f"another-store.{9:016d}-0123456789abcdef"
    talk = Talk(service(), revision=1)
    assert types(talk.ask(RDS, TABLE, version=seen)) == [RDS]


@pytest.mark.proves("fault 13", "xds-rule 52")
def test_an_empty_store_takes_nothing_away_from_a_proxy_that_has_something() -> None:
    """A wiped store has never said that the services are gone; the proxy keeps them until there is something to say."""
    for version in (f"another-store.{9:016d}-0123456789abcdef", "somebody else's"):
        talk = Talk(revision=3)
        assert talk.ask(CDS, version=version) == []
        assert talk.ask(LDS, version=version) == []
        assert types(talk.publish(service())) == [CDS, LDS]
    delta = Talk(delta=True)
    assert delta.subscribe(CDS, initial=[("fraud/v1", "somebody else's")]) == []


def test_a_deletion_that_this_store_knows_of_is_carried_out() -> None:
    """The last service was deleted while the proxy was away: it is told."""
    before = Talk(service())
    talk = Talk(revision=2)
    (clusters,) = talk.ask(CDS, version=before.snapshot.catalogue(CDS).version)
    assert names(clusters) == []


def test_an_acknowledged_full_set_of_ours_opens_the_gate_for_a_client_that_comes_back() -> None:
    """Its version says that it has all clusters: routes need not wait for what it has."""
    before = Talk(service())
    talk = Talk(service(), revision=5)
    talk.ask(CDS, version=before.snapshot.catalogue(CDS).version)
    assert types(talk.ask(RDS, TABLE)) == [RDS]


@pytest.mark.proves("xds-rule 42")
def test_a_delta_client_gets_endpoints_for_a_cluster_that_changed_while_it_was_away() -> None:
    """The endpoints are the same, but the changed cluster waits for them."""
    before = greeted(service(), delta=True)
    talk = Talk(service(protocol="grpc"), delta=True, revision=2)
    clusters = [(r.name, r.version) for r in before.snapshot.catalogue(CDS).listed.values()]
    endpoints = [(r.name, r.version) for r in before.snapshot.catalogue(EDS).listed.values()]
    (changed,) = talk.subscribe(CDS, initial=clusters)
    assert names(changed) == ["fraud/v1", "fraud/v2"]
    (again,) = talk.event(
        DeltaDiscoveryRequest(EDS, subscribe=("fraud/v1", "fraud/v2"), initial_resource_versions=tuple(endpoints))
    )
    assert names(again) == ["fraud/v1", "fraud/v2"]


def brought(talk: Talk, type_url: str) -> list[tuple[str, str]]:
    """The versions that a Delta client has after it was served."""
    return [(r.name, r.version) for r in talk.snapshot.catalogue(type_url).listed.values()]


@pytest.mark.proves("track-record 43", "xds-rule 42")
def test_a_client_that_comes_back_while_it_warms_gets_its_endpoints_again() -> None:
    """Its cluster changed, and the connection broke before the endpoints came. Envoy asks for everything but clusters
    then, and says to have the endpoints, which it has of the cluster as it was: unsent, it would wait for 15 s."""
    before = greeted(service(protocol="grpc"), delta=True)
    talk = Talk(service(protocol="grpc"), delta=True)
    (again,) = talk.event(
        DeltaDiscoveryRequest(EDS, ("fraud/v1", "fraud/v2"), initial_resource_versions=tuple(brought(before, EDS)))
    )
    assert names(again) == ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("track-record 43")
def test_a_client_that_comes_back_while_it_warms_gets_the_endpoints_of_what_is_gone() -> None:
    """What it warms was taken away meanwhile: it must get done with it before it asks for clusters at all."""
    for delta in (False, True):
        talk = Talk(service(versions=TWO), delta=delta)
        talk.publish(service(versions=ONE))
        (left,) = talk.subscribe(EDS, "fraud/v2") if delta else talk.ask(EDS, "fraud/v2")
        assert names(left) == ["fraud/v2"]
        talk.ack(left, "fraud/v2")
        clusters = (talk.subscribe(CDS) if delta else talk.ask(CDS))[0]
        assert (clusters.type_url, names(clusters)) == (CDS, ["fraud/v1"])


@pytest.mark.proves("track-record 42")
def test_a_client_that_comes_back_while_it_warms_gets_its_routes_after_its_clusters() -> None:
    """It takes all listeners and has yet to ask for clusters: until it does, or had time to, it keeps its routes."""
    for settles in (False, True):
        talk = Talk(service(canary=("v2", 5000)))
        (listeners,) = talk.ask(LDS, version="any")
        talk.ack(listeners)
        assert talk.ask(RDS, TABLE, version="any") == []
        replies = talk.event(SettleTimeout()) if settles else talk.ack(talk.ask(CDS, version="any")[0])
        assert RDS in types(replies)


@pytest.mark.proves("track-record 44")
def test_a_client_that_comes_back_to_delta_loses_no_neighbour_while_clusters_warm() -> None:
    """On a shared port: what it has of the table is not known, so one without the service that waits would cut it."""
    a, b = service("a", hosts=("a.example",)), service("b", hosts=("b.example",), versions=ONE)
    before = greeted(a, b, delta=True)
    moved = service("b", hosts=("b.example",), versions=TWO, canary=("v2", 5000))
    talk = Talk(service("a", hosts=("a.example",), canary=("v2", 500)), moved, delta=True, revision=2)
    (clusters,) = talk.subscribe(CDS, initial=brought(before, CDS))
    assert names(clusters) == ["b/v2"]
    assert talk.subscribe(RDS, TABLE, initial=brought(before, RDS)) == []
    (routes,) = talk.ack(clusters)
    assert [host.name for host in routes.resources[0].virtual_hosts] == ["a", "b"]


def test_a_listener_that_comes_back_gets_its_routes_though_its_client_never_dropped_them() -> None:
    """Gone and back in a moment: the client's two changes of mind may reach us as none."""
    other = service("other", port=10001)
    talk = greeted(service(versions=ONE), other)
    (listeners,) = talk.publish(other)
    (clusters,) = talk.ack(listeners)
    back, routes = talk.publish(service(versions=ONE), other)
    assert (clusters.type_url, back.type_url, names(routes)) == (CDS, LDS, [TABLE])
