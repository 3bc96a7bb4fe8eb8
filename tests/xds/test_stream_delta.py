"""Delta: subscriptions, versions of each resource, and what is said to a client that comes back."""

import pytest

from controller.xds.protocol.discovery import DeltaDiscoveryRequest
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.talk import Talk, names
from tests.xds.worlds import service

TABLE = "127.0.0.1:10000"


def held(talk: Talk, type_url: str) -> list[tuple[str, str]]:
    """The versions that a client has after it was served."""
    return [(r.name, r.version) for r in talk.snapshot.catalogue(type_url).listed.values()]


@pytest.mark.proves("xds-rule 29")
def test_only_what_changed_is_sent_and_what_is_gone_is_named() -> None:
    """A version taken away is one removed name, a weight step is one route table."""
    talk = Talk(service(), service("other", port=10001), delta=True)
    (clusters,) = talk.subscribe(CDS)
    talk.ack(clusters)
    (routes,) = talk.subscribe(RDS, TABLE, "127.0.0.1:10001")
    talk.ack(routes)
    (step,) = talk.publish(service(canary=("v2", 500)), service("other", port=10001))
    assert (names(step), step.removed_resources) == ([TABLE], ())
    talk.ack(step)
    (gone,) = talk.publish(service(canary=("v2", 500)), service("other", port=10001, versions={"v1": ["127.0.0.1:1"]}))
    assert (gone.type_url, names(gone), gone.removed_resources) == (CDS, [], ("other/v2",))


@pytest.mark.proves("bad-input 3", "xds-rule 13")
def test_a_stale_or_unknown_nonce_never_hides_a_subscription() -> None:
    """Delta requests count whatever their nonce."""
    talk = Talk(service(), delta=True)
    (first,) = talk.subscribe(EDS, "fraud/v1")
    talk.event(DeltaDiscoveryRequest(EDS, subscribe=("fraud/v2",), response_nonce="stale"))
    (second,) = talk.ack(first)
    assert names(second) == ["fraud/v2"]


@pytest.mark.proves("xds-rule 14")
def test_one_request_may_do_everything_at_once() -> None:
    """Acknowledge, subscribe and unsubscribe in one."""
    talk = Talk(service(), delta=True)
    (first,) = talk.subscribe(EDS, "fraud/v1")
    (second,) = talk.event(
        DeltaDiscoveryRequest(EDS, subscribe=("fraud/v2",), unsubscribe=("fraud/v1",), response_nonce=first.nonce)
    )
    assert (names(second), second.removed_resources) == (["fraud/v2"], ())
    assert set(talk.stream.types[EDS].subscription.names) == {"fraud/v2"}


def test_what_is_asked_for_again_is_sent_again() -> None:
    """The client may have forgotten it."""
    talk = Talk(service(), delta=True)
    (first,) = talk.subscribe(EDS, "fraud/v1")
    talk.ack(first)
    (again,) = talk.subscribe(EDS, "fraud/v1")
    assert names(again) == ["fraud/v1"]


def test_an_absent_name_is_answered_at_once_and_sent_when_it_appears() -> None:
    """The client need not wait for a timer; unknown types are answered in the same way."""
    talk = Talk(service(), delta=True)
    (absent,) = talk.subscribe(EDS, "later/v1")
    assert (names(absent), absent.removed_resources) == ([], ("later/v1",))
    talk.ack(absent)
    (secret,) = talk.subscribe("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "certificate")
    assert secret.removed_resources == ("certificate",)
    (there,) = talk.publish(service(), service("later", port=10001))
    assert names(there) == ["later/v1"]


@pytest.mark.proves("xds-rule 24")
def test_unsubscribing_the_unknown_is_ignored() -> None:
    """It asks for nothing."""
    talk = Talk(service(), delta=True)
    (first,) = talk.subscribe(EDS, "fraud/v1")
    talk.ack(first)
    assert talk.unsubscribe(EDS, "nobody/v1") == []


def test_unsubscribing_a_name_under_a_wildcard_is_answered() -> None:
    """With the resource, since the wildcard covers it; or as removed, since nothing does."""
    talk = Talk(service(), delta=True)
    (every,) = talk.subscribe(CDS, "*", "fraud/v1", "nobody/v1")
    talk.ack(every)
    (answer,) = talk.unsubscribe(CDS, "fraud/v1", "nobody/v1")
    assert (names(answer), answer.removed_resources) == (["fraud/v1"], ("nobody/v1",))


@pytest.mark.proves("xds-rule 19")
def test_a_wildcard_can_be_given_up_while_names_stay() -> None:
    """Unsubscribing `*` keeps what was asked for by name."""
    talk = Talk(service(), delta=True)
    (every,) = talk.subscribe(CDS)
    talk.ack(every)
    (named,) = talk.subscribe(CDS, "fraud/v1")
    talk.ack(named)
    talk.unsubscribe(CDS, "*")
    subscription = talk.stream.types[CDS].subscription
    assert (subscription.wildcard, set(subscription.names)) == (False, {"fraud/v1"})
    talk.unsubscribe(CDS, "fraud/v1")
    assert talk.publish(service(), service("new", port=10001)) == []


def test_a_client_that_comes_back_with_everything_is_sent_nothing() -> None:
    """Versions are of the content: a restart of the controller sends not a byte of configuration."""
    before, after = Talk(service(), delta=True), Talk(service(), delta=True, revision=7)
    for type_url, asked in ((CDS, ()), (LDS, ()), (EDS, ("fraud/v1", "fraud/v2")), (RDS, (TABLE,))):
        assert after.subscribe(type_url, *asked, initial=held(before, type_url)) == [], type_url
    assert [reply.type_url for reply in after.publish(service(canary=("v2", 500)))] == [RDS]


def test_a_client_that_comes_back_is_sent_the_difference() -> None:
    """What changed and what vanished; and nothing else."""
    before = Talk(service(), service("old", port=10001), delta=True)
    after = Talk(service(canary=("v2", 500)), delta=True, revision=2)
    assert after.subscribe(CDS, initial=held(before, CDS)) == []  # what is gone stays until its routes are known to be
    assert after.subscribe(EDS, "fraud/v1", initial=held(before, EDS)[:1]) == []
    (routes,) = after.subscribe(RDS, TABLE, initial=held(before, RDS)[:1])
    assert names(routes) == [TABLE]
    (clusters,) = after.ack(routes)
    assert (clusters.type_url, names(clusters), clusters.removed_resources) == (CDS, [], ("old/v1", "old/v2"))


@pytest.mark.parametrize("type_url", [CDS, LDS])
def test_a_wildcard_over_nothing_is_answered(type_url: str) -> None:
    """Else a starting client waits for its timer."""
    (nothing,) = Talk(delta=True).subscribe(type_url)
    assert (names(nothing), nothing.removed_resources) == ([], ())


def test_a_refused_removal_is_not_repeated() -> None:
    """Nor any other response that says exactly what was refused."""
    talk = Talk(service(), service("other", port=10001), delta=True)
    (clusters,) = talk.subscribe(CDS)
    talk.ack(clusters)
    (gone,) = talk.publish(service())
    assert gone.removed_resources == ("other/v1", "other/v2")
    assert talk.nack(gone) == []
    (more,) = talk.publish(service(), service("third", port=10002))
    assert (names(more), more.removed_resources) == (["third/v1", "third/v2"], ("other/v1", "other/v2"))
