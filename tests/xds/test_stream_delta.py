"""Delta: subscriptions, versions of each resource, and what is said to a client that comes back."""

import pytest

from controller.xds.protocol.discovery import DeltaDiscoveryRequest, SettleTimeout
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.scripted_client import ScriptedClient, names
from tests.xds.views import service

TABLE = "127.0.0.1:10000"


def held(client: ScriptedClient, type_url: str) -> list[tuple[str, str]]:
    """The versions that a client has after it was served."""
    return [(r.name, r.version) for r in client.snapshot.catalogue(type_url).listed.values()]


@pytest.mark.proves("xds-rule 29")
def test_only_what_changed_is_sent_and_what_is_gone_is_named() -> None:
    """A version taken away is one removed name, a weight step is one route configuration."""
    client = ScriptedClient(service(), service("other", port=10001), delta=True)
    (clusters,) = client.subscribe(CDS)
    client.ack(clusters)
    (routes,) = client.subscribe(RDS, TABLE, "127.0.0.1:10001")
    client.ack(routes)
    (step,) = client.publish(service(canary=("v2", 500)), service("other", port=10001))
    assert (names(step), step.removed_resources) == ([TABLE], ())
    client.ack(step)
    (gone,) = client.publish(
        service(canary=("v2", 500)), service("other", port=10001, versions={"v1": ["127.0.0.1:1"]})
    )
    assert (gone.type_url, names(gone), gone.removed_resources) == (CDS, [], ("other/v2",))


@pytest.mark.proves("bad-input 3", "xds-rule 13")
def test_a_stale_or_unknown_nonce_never_hides_a_subscription() -> None:
    """Delta requests count whatever their nonce."""
    client = ScriptedClient(service(), delta=True)
    (first,) = client.subscribe(EDS, "fraud/v1")
    client.event(DeltaDiscoveryRequest(EDS, subscribe=("fraud/v2",), response_nonce="stale"))
    (second,) = client.ack(first)
    assert names(second) == ["fraud/v2"]


@pytest.mark.proves("xds-rule 14")
def test_one_request_may_ack_subscribe_and_unsubscribe() -> None:
    """Acknowledge, subscribe and unsubscribe in one."""
    client = ScriptedClient(service(), delta=True)
    (first,) = client.subscribe(EDS, "fraud/v1")
    (second,) = client.event(
        DeltaDiscoveryRequest(EDS, subscribe=("fraud/v2",), unsubscribe=("fraud/v1",), response_nonce=first.nonce)
    )
    assert (names(second), second.removed_resources) == (["fraud/v2"], ())
    assert set(client.stream.types[EDS].subscription.names) == {"fraud/v2"}


def test_a_repeated_subscription_is_sent_again() -> None:
    """The client may have forgotten it."""
    client = ScriptedClient(service(), delta=True)
    (first,) = client.subscribe(EDS, "fraud/v1")
    client.ack(first)
    (again,) = client.subscribe(EDS, "fraud/v1")
    assert names(again) == ["fraud/v1"]


def test_an_absent_name_gets_a_response_at_once_and_is_sent_when_it_appears() -> None:
    """The client need not wait for a timer; unknown types are answered in the same way."""
    client = ScriptedClient(service(), delta=True)
    (absent,) = client.subscribe(EDS, "later/v1")
    assert (names(absent), absent.removed_resources) == ([], ("later/v1",))
    client.ack(absent)
    (secret,) = client.subscribe("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "certificate")
    assert secret.removed_resources == ("certificate",)
    (there,) = client.publish(service(), service("later", port=10001))
    assert names(there) == ["later/v1"]


@pytest.mark.proves("xds-rule 24")
def test_unsubscribing_the_unknown_is_ignored() -> None:
    """It asks for nothing."""
    client = ScriptedClient(service(), delta=True)
    (first,) = client.subscribe(EDS, "fraud/v1")
    client.ack(first)
    assert client.unsubscribe(EDS, "nobody/v1") == []


def test_unsubscribing_a_name_under_a_wildcard_gets_a_response() -> None:
    """With the resource, since the wildcard covers it; or as removed, since nothing does."""
    client = ScriptedClient(service(), delta=True)
    (every,) = client.subscribe(CDS, "*", "fraud/v1", "nobody/v1")
    client.ack(every)
    (answer,) = client.unsubscribe(CDS, "fraud/v1", "nobody/v1")
    assert (names(answer), answer.removed_resources) == (["fraud/v1"], ("nobody/v1",))


@pytest.mark.proves("xds-rule 19")
def test_a_wildcard_can_be_given_up_while_names_stay() -> None:
    """Unsubscribing `*` keeps what was asked for by name."""
    client = ScriptedClient(service(), delta=True)
    (every,) = client.subscribe(CDS)
    client.ack(every)
    (named,) = client.subscribe(CDS, "fraud/v1")
    client.ack(named)
    client.unsubscribe(CDS, "*")
    subscription = client.stream.types[CDS].subscription
    assert (subscription.wildcard, set(subscription.names)) == (False, {"fraud/v1"})
    client.unsubscribe(CDS, "fraud/v1")
    assert client.publish(service(), service("new", port=10001)) == []


def test_a_reconnected_client_with_everything_is_sent_nothing() -> None:
    """Versions are of the content: a restart of the controller sends not a byte of configuration."""
    before, after = ScriptedClient(service(), delta=True), ScriptedClient(service(), delta=True, revision=7)
    for type_url, asked in ((CDS, ()), (LDS, ()), (EDS, ("fraud/v1", "fraud/v2")), (RDS, (TABLE,))):
        assert after.subscribe(type_url, *asked, initial=held(before, type_url)) == [], type_url
    assert [response.type_url for response in after.publish(service(canary=("v2", 500)))] == [RDS]


def test_a_reconnected_client_is_sent_the_difference() -> None:
    """What changed and what vanished; and nothing else."""
    before = ScriptedClient(service(), service("old", port=10001), delta=True)
    after = ScriptedClient(service(canary=("v2", 500)), delta=True, revision=2)
    assert after.subscribe(CDS, initial=held(before, CDS)) == []  # what is gone stays until its routes are known to be
    assert after.subscribe(EDS, "fraud/v1", initial=held(before, EDS)[:1]) == []
    (routes,) = after.subscribe(RDS, TABLE, initial=held(before, RDS)[:1])
    assert names(routes) == [TABLE]
    (clusters,) = after.ack(routes)
    assert (clusters.type_url, names(clusters), clusters.removed_resources) == (CDS, [], ("old/v1", "old/v2"))


@pytest.mark.parametrize("type_url", [CDS, LDS])
def test_a_wildcard_over_nothing_gets_a_response(type_url: str) -> None:
    """Else a starting client waits for its timer."""
    (nothing,) = ScriptedClient(delta=True).subscribe(type_url)
    assert (names(nothing), nothing.removed_resources) == ([], ())


def test_a_nacked_removal_is_not_repeated() -> None:
    """Nor any other response that says exactly what was NACKed."""
    client = ScriptedClient(service(), service("other", port=10001), delta=True)
    (clusters,) = client.subscribe(CDS)
    client.ack(clusters)
    (gone,) = client.publish(service())
    assert gone.removed_resources == ("other/v1", "other/v2")
    assert client.nack(gone) == []
    (more,) = client.publish(service(), service("third", port=10002))
    assert (names(more), more.removed_resources) == (["third/v1", "third/v2"], ("other/v1", "other/v2"))


@pytest.mark.proves("xds-rule 29")
def test_a_client_of_endpoints_alone_is_sent_their_removal() -> None:
    """Nothing else on its stream orders the removal; within the first second, it may be about to request clusters."""
    one = service(versions={"v1": ["127.0.0.1:9001"]})
    for settled_before in (True, False):
        client = ScriptedClient(service(), delta=True)
        (endpoints,) = client.subscribe(EDS, "fraud/v1", "fraud/v2")
        client.ack(endpoints)
        if settled_before:
            client.event(SettleTimeout())
        removals = client.publish(one)
        assert len(removals) == settled_before
        (removal,) = removals or client.event(SettleTimeout())
        assert (names(removal), removal.removed_resources) == ([], ("fraud/v2",))
        assert client.ack(removal) == []
        assert client.stream.types[EDS].accepted is client.snapshot.catalogue(EDS).select(
            client.stream.types[EDS].subscription
        )
