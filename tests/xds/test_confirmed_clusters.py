"""Which clusters a client has, as far as its ACKs prove it: of no others do its reports count."""

import pytest

from controller.core.model.service import Version
from controller.core.model.service_state import ServiceState
from controller.core.model.upstream import Upstream
from controller.xds.protocol.confirmed_clusters import confirmed_clusters
from controller.xds.protocol.discovery import SettleTimeout
from controller.xds.resources.type_urls import CDS, EDS, RDS
from tests.xds.scripted_client import ScriptedClient, synced_client
from tests.xds.views import service

V1, V2 = "fraud/v1", "fraud/v2"


def own_service() -> ServiceState:
    """A service whose versions are clusters of Envoy's own file."""
    state = service(route_config="models")
    versions = tuple(Version(name=name, cluster=f"model-{name}") for name in ("v1", "v2"))
    return state.model_copy(update={"spec": state.spec.model_copy(update={"own_clusters": True, "versions": versions})})


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_a_cluster_is_confirmed_by_the_ack_of_cds(delta: bool) -> None:
    """Not by being sent, not by a NACK, not by the ACK of its endpoints before."""
    client = ScriptedClient(service(), delta=delta)
    request = client.subscribe if delta else client.request
    assert confirmed_clusters(client.stream) == frozenset()
    (sent,) = request(CDS)
    for endpoints in request(EDS, V1, V2):
        client.ack(endpoints, V1, V2)
    assert confirmed_clusters(client.stream) == frozenset()
    client.ack(sent)
    assert confirmed_clusters(client.stream) == {V1, V2}


def test_a_nack_confirms_nothing() -> None:
    """Of what it names, and of what it does not."""
    client = ScriptedClient(service())
    (sent,) = client.request(CDS)
    client.nack(sent, error="no")
    assert confirmed_clusters(client.stream) == frozenset()


def test_another_services_clusters_are_not_confirmed_by_asking_for_them() -> None:
    """A name that a Delta client merely declares proves nothing, also with a version of another store."""
    client = ScriptedClient(service(), delta=True)
    client.subscribe(CDS, "*", initial=[("other/v1", "x"), (V1, "another-store:9:abc")])
    assert confirmed_clusters(client.stream) == frozenset()


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_a_proxy_that_reconnects_is_believed_until_it_acks_anew(delta: bool) -> None:
    """It declares the version that this store gave it, and reports before it has ACKed what changed since."""
    before = synced_client(service(), delta=delta)
    version = before.snapshot.catalogue(CDS).version
    versions = [(name, each.version) for name, each in before.snapshot.catalogue(CDS).listed.items()]
    after = ScriptedClient(
        service(upstreams={"v1": Upstream(http2=True), "v2": Upstream(http2=True)}), delta=delta, revision=5
    )
    if delta:
        after.subscribe(CDS, initial=versions)
    else:
        after.request(CDS, version=version)
    assert confirmed_clusters(after.stream) == {V1, V2}


def test_endpoints_confirm_a_cluster_of_envoys_own_file() -> None:
    """Its CDS is another one's: Haldane knows only that it took the endpoints."""
    client = ScriptedClient(service())
    client.event(SettleTimeout())
    (sent,) = client.request(EDS, V1)
    assert confirmed_clusters(client.stream) == frozenset()
    client.ack(sent, V1)
    assert confirmed_clusters(client.stream) == {V1}


def test_routes_confirm_the_operators_own_clusters() -> None:
    """There is no cluster of Haldane's: who has the routes has them, under the names by which they are observed."""
    client = ScriptedClient(own_service())
    (name,) = client.snapshot.catalogue(RDS).listed
    client.event(SettleTimeout())
    (sent,) = client.request(RDS, name)
    assert confirmed_clusters(client.stream) == frozenset()
    client.ack(sent, name)
    assert confirmed_clusters(client.stream) == {V1, V2}


def test_routes_alone_do_not_confirm_clusters_of_haldanes() -> None:
    """Who takes routes by name, and no clusters, cannot have sent anything there."""
    client = ScriptedClient(service())
    (name,) = client.snapshot.catalogue(RDS).listed
    client.event(SettleTimeout())
    (sent,) = client.request(RDS, name)
    client.ack(sent, name)
    assert confirmed_clusters(client.stream) == frozenset()


def test_a_proxyless_client_confirms_the_clusters_that_it_names() -> None:
    """It asks for those that have weight."""
    client = ScriptedClient(service())
    (sent,) = client.request(CDS, V1)
    client.ack(sent, V1)
    assert confirmed_clusters(client.stream) == {V1}


def test_a_service_that_leaves_the_fleet_takes_its_clusters_along() -> None:
    """The proxy may still have them until its routes are gone; its reports on them count no more."""
    client = synced_client(service(), service("other", port=10001))
    assert confirmed_clusters(client.stream) == {V1, V2, "other/v1", "other/v2"}
    client.publish(service())
    assert confirmed_clusters(client.stream) == {V1, V2}
