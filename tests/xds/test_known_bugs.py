"""What other control planes got wrong, each by the number under which their users reported it; and that we do not."""

import pytest

from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.scripted_client import ScriptedClient, names, synced_client, types
from tests.xds.views import service

TABLE = "127.0.0.1:10000"
MOVED = {"v1": ["127.0.0.1:9991"], "v2": ["127.0.0.1:9002"]}


@pytest.mark.proves("xds-bug go-control-plane #526")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_endpoints_requested_before_clusters_get_a_response(delta: bool) -> None:
    """go-control-plane #526: after a reconnect they may come first. And #245: clusters bring them again."""
    client = ScriptedClient(service(), delta=delta)
    (first,) = client.subscribe(EDS, "fraud/v1") if delta else client.request(EDS, "fraud/v1")
    assert names(first) == ["fraud/v1"]
    client.ack(first, "fraud/v1")
    clusters, again = client.subscribe(CDS) if delta else client.request(CDS)
    assert (clusters.type_url, names(again)) == (CDS, ["fraud/v1"])


@pytest.mark.proves("xds-bug go-control-plane #503, #875")
def test_requests_of_all_types_at_once_do_not_deadlock() -> None:
    """go-control-plane #503 and #875: with more types than a channel had room for, both sides waited forever."""
    client = ScriptedClient(service(), delta=True)
    for number in range(40):
        assert types(client.subscribe(f"type.googleapis.com/no.Such{number}", "x")) == [
            f"type.googleapis.com/no.Such{number}"
        ]
    assert types(client.subscribe(LDS)) == [LDS]
    assert types(client.subscribe(CDS)) == [CDS]


@pytest.mark.proves("xds-bug go-control-plane #388", "xds-rule 9")
def test_a_nonce_of_another_stream_is_no_ack() -> None:
    """go-control-plane #388: nonces die with their stream, though both begin at the same number."""
    old, new = ScriptedClient(service()), ScriptedClient(service())
    (theirs,) = old.request(RDS, TABLE)
    (ours,) = new.request(RDS, TABLE, nonce=theirs.nonce)
    assert new.stream.types[RDS].pending
    assert not new.ack(ours, TABLE)
    assert not new.stream.types[RDS].pending


@pytest.mark.proves("xds-bug go-control-plane #1298, #1300, #1301")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_a_changed_subscription_is_never_missed(delta: bool) -> None:
    """go-control-plane #1298, #1300, #1301: while a response is under way, and in the request that accepts it."""
    client = ScriptedClient(service(), delta=delta)
    (first,) = client.subscribe(EDS, "fraud/v1") if delta else client.request(EDS, "fraud/v1")
    assert (
        client.subscribe(EDS, "fraud/v2") if delta else client.request(EDS, "fraud/v1", "fraud/v2", nonce="stale")
    ) == []
    (second,) = client.ack(first, "fraud/v1", "fraud/v2")
    assert names(second) == ["fraud/v2"]


@pytest.mark.proves("xds-bug go-control-plane #1319")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_an_absent_name_makes_no_loop(delta: bool) -> None:
    """go-control-plane #1319: each request was answered, each answer was ACKed, without end."""
    client = ScriptedClient(service(), delta=delta)
    if delta:
        (absent,) = client.subscribe(EDS, "nobody/v1")
        assert client.ack(absent) == []
        assert client.event(client.snapshot) == []
    else:
        assert client.request(EDS, "nobody/v1") == []
        assert client.request(EDS, "nobody/v1") == []


@pytest.mark.proves("xds-bug go-control-plane #1498")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_unsubscribed_resources_are_not_sent(delta: bool) -> None:
    """go-control-plane #1498: the answer to a superseded request went out after its names had been dropped."""
    client = ScriptedClient(service(), delta=delta)
    (first,) = client.subscribe(EDS, "fraud/v1") if delta else client.request(EDS, "fraud/v1")
    client.publish(service(versions=MOVED))
    if delta:
        client.unsubscribe(EDS, "fraud/v1")
        assert client.ack(first) == []
    else:
        assert client.ack(first) == []  # with no names
    assert client.publish(service()) == []


@pytest.mark.proves("xds-bug go-control-plane #1356")
def test_a_subscription_to_some_absent_names_gets_the_others() -> None:
    """go-control-plane #1356: a client that did not name every resource was never told of new endpoints again."""
    client = ScriptedClient(service())
    (first,) = client.request(EDS, "fraud/v1", "nobody/v1")
    assert names(first) == ["fraud/v1"]
    assert client.ack(first, "fraud/v1", "nobody/v1") == []
    (moved,) = client.publish(service(versions=MOVED))
    assert names(moved) == ["fraud/v1"]


@pytest.mark.proves("xds-bug agent-substrate #699, wso2 api-platform #1196")
def test_after_a_restart_different_content_has_a_different_version() -> None:
    """agent-substrate #699, wso2 api-platform #1196: counters began at 1 again, and proxies stayed where they were."""
    (before,) = ScriptedClient(service(canary=("v2", 5000)), revision=1).request(RDS, TABLE)
    after = ScriptedClient(service(), revision=1)
    after.request(CDS, "fraud/v1")
    (routes,) = after.request(RDS, TABLE, version=before.version_info)
    assert routes.version_info != before.version_info


@pytest.mark.proves("xds-bug go-control-plane #962, Istio #21111, Contour #1176")
def test_a_nack_makes_no_loop() -> None:
    """go-control-plane #962, Istio #21111, Contour #1176: the same thing was sent at once, and NACKed, without end."""
    client = synced_client(service())
    (step,) = client.publish(service(canary=("v2", 500)))
    assert client.nack(step, TABLE) == []
    assert client.event(client.snapshot) == []


@pytest.mark.proves("xds-bug kgateway #14703")
def test_a_reconnect_with_the_newest_version_gets_a_response() -> None:
    """kgateway #14703: the request was parked, and the cluster that waited for it held up all others."""
    client = ScriptedClient(service())
    (endpoints,) = client.request(EDS, "fraud/v1", version=client.snapshot.catalogue(EDS).version)
    assert names(endpoints) == ["fraud/v1"]
