"""State of the world: nonces, subscriptions and content, rule by rule of Envoy's xDS protocol."""

import pytest

from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.talk import Talk, names, types
from tests.xds.worlds import service

TABLE = "127.0.0.1:10000"
SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@pytest.mark.proves("xds-rule 3")
def test_every_response_has_a_nonce_of_its_own_and_the_type_of_its_request() -> None:
    """Nonces are unique in a stream, and each type has its own conversation."""
    talk = Talk(service())
    replies = [*talk.ask(CDS), *talk.ask(EDS, "fraud/v1"), *talk.ask(LDS)]
    assert types(replies) == [CDS, EDS, LDS]
    assert len({reply.nonce for reply in replies}) == 3
    assert all(resource.any for reply in replies for resource in reply.resources)


@pytest.mark.proves("xds-rule 16")
def test_an_acknowledgement_is_not_answered() -> None:
    """When nothing changed there is nothing to say."""
    talk = Talk(service())
    (clusters,) = talk.ask(CDS)
    assert talk.ack(clusters) == []


@pytest.mark.proves("bad-input 3", "xds-rule 15")
def test_a_stale_nonce_is_not_answered_and_changes_nothing() -> None:
    """A request whose nonce is not the newest is superseded by the one that answers the newest."""
    talk = Talk(service())
    (first,) = talk.ask(EDS, "fraud/v1")
    talk.ack(first, "fraud/v1")
    (second,) = talk.ask(EDS, "fraud/v1", "fraud/v2", nonce=first.nonce)
    assert talk.ask(EDS, "fraud/v1", nonce=first.nonce) == []
    assert talk.ask(EDS, "fraud/v1", nonce="never sent") == []
    assert talk.ask(EDS) == []
    assert talk.stream.types[EDS].subscription.names == {"fraud/v1", "fraud/v2"}
    assert talk.ack(second, "fraud/v1", "fraud/v2") == []


@pytest.mark.proves("xds-rule 12", "xds-rule 27")
def test_a_stale_request_is_made_good_by_the_acknowledgement_that_follows() -> None:
    """What a dropped request asked for is in the next one, since each repeats the full list."""
    talk = Talk(service())
    (first,) = talk.ask(EDS, "fraud/v1")
    assert talk.ask(EDS, "fraud/v1", "fraud/v2") == []
    (second,) = talk.ack(first, "fraud/v1", "fraud/v2")
    assert names(second) == ["fraud/v2"]


def test_the_first_request_is_answered_even_if_its_version_is_the_newest() -> None:
    """A client that comes back may have lost what it was about to warm: every type is answered once more."""
    talk = Talk(service())
    version = talk.snapshot.catalogue(EDS).version
    (endpoints,) = talk.ask(EDS, "fraud/v1", version=version)
    assert names(endpoints) == ["fraud/v1"]
    (clusters,) = talk.ask(CDS, version=talk.snapshot.catalogue(CDS).version)
    assert names(clusters) == ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("bad-input 3", "xds-rule 46")
def test_a_nonce_from_an_earlier_stream_is_taken_for_none() -> None:
    """Envoys before 2023 repeated the last nonce on a new stream."""
    talk = Talk(service())
    (clusters,) = talk.ask(CDS, version="old", nonce="17")
    assert names(clusters) == ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("xds-rule 17", "xds-rule 18")
def test_names_are_the_whole_list_each_time() -> None:
    """A name that is missing is no longer subscribed, and one that comes back is sent anew."""
    talk = Talk(service())
    (first,) = talk.ask(EDS, "fraud/v1", "fraud/v2")
    assert talk.ack(first, "fraud/v1") == []
    (again,) = talk.ask(EDS, "fraud/v1", "fraud/v2", nonce=first.nonce)
    assert names(again) == ["fraud/v2"]


@pytest.mark.proves("xds-rule 22")
def test_what_does_not_exist_yet_is_sent_when_it_does() -> None:
    """Subscriptions outlive the absence of what they name."""
    talk = Talk(service())
    assert talk.ask(EDS, "later/v1") == []
    (endpoints,) = talk.publish(service(), service("later", port=10001))
    assert names(endpoints) == ["later/v1"]


@pytest.mark.proves("xds-rule 19")
def test_an_empty_list_means_everything_until_a_name_was_given() -> None:
    """The legacy wildcard of CDS and LDS is lost with the first name, explicit `*` included."""
    talk = Talk(service())
    (every,) = talk.ask(CDS)
    assert names(every) == ["fraud/v1", "fraud/v2"]
    (starred,) = talk.ack(every, "*", "fraud/v1")
    assert names(starred) == ["fraud/v1", "fraud/v2"]
    talk.ack(starred, "*", "fraud/v1")
    (one,) = talk.ask(CDS, "fraud/v1", nonce=starred.nonce) or [None]
    assert one is None or names(one) == ["fraud/v1"]
    state = talk.stream.types[CDS]
    assert (state.subscription.wildcard, set(state.subscription.names)) == (False, {"fraud/v1"})
    talk.ask(CDS, nonce=state.nonce)
    state = talk.stream.types[CDS]
    assert (state.subscription.wildcard, set(state.subscription.names)) == (False, set())


@pytest.mark.parametrize("type_url", [EDS, RDS])
def test_an_empty_list_of_endpoints_or_routes_means_none(type_url: str) -> None:
    """Envoy sends it when its last cluster goes; to take it for a wildcard would send everything."""
    talk = Talk(service())
    assert talk.ask(type_url) == []
    assert not talk.stream.types[type_url].subscription.wildcard


@pytest.mark.proves("xds-rule 28")
def test_clusters_and_listeners_come_as_the_full_set_endpoints_and_routes_as_what_changed() -> None:
    """Absence from a full set is deletion; a partial answer deletes nothing."""
    one, two = service(), service("other", port=10001)
    talk = Talk(one, two)
    (clusters,) = talk.ask(CDS)
    (endpoints,) = talk.ask(EDS, "fraud/v1", "other/v1")
    for reply, asked in ((clusters, ()), (endpoints, ("fraud/v1", "other/v1"))):
        talk.ack(reply, *asked)
    moved = service("other", port=10001, versions={"v1": ["127.0.0.1:9991"], "v2": ["127.0.0.1:9002"]})
    (changed,) = talk.publish(one, moved)
    assert (changed.type_url, names(changed)) == (EDS, ["other/v1"])
    talk.ack(changed, "fraud/v1", "other/v1")
    (left,) = talk.publish(one)
    assert (left.type_url, names(left)) == (CDS, ["fraud/v1", "fraud/v2"])


@pytest.mark.proves("xds-rule 31")
def test_the_version_changes_exactly_when_the_content_does() -> None:
    """Equal content is never sent twice, whatever else the store wrote."""
    talk = Talk(service())
    (clusters,) = talk.ask(CDS)
    talk.ack(clusters)
    assert talk.publish(service(revision=2)) == []
    (more,) = talk.publish(service(versions={"v1": ["127.0.0.1:9001"], "v3": ["127.0.0.1:9003"]}))
    assert more.version_info != clusters.version_info


@pytest.mark.proves("xds-rule 10")
def test_a_refusal_is_known_by_its_error_alone_and_not_repeated() -> None:
    """After a refusal the same is not sent again; what changed is."""
    talk = Talk(service())
    (routes,) = talk.ask(RDS, TABLE)
    talk.ack(routes, TABLE)
    (step,) = talk.publish(service(canary=("v2", 500)))
    assert talk.nack(step, TABLE) == []
    assert talk.publish(service(canary=("v2", 500), revision=9)) == []
    (back,) = talk.publish(service(canary=("v2", 1000)))
    assert names(back) == [TABLE]
    assert talk.ack(back, TABLE) == []


@pytest.mark.proves("xds-rule 11")
def test_a_refusal_may_carry_a_new_subscription() -> None:
    """The names of a refusing request count like any other's."""
    talk = Talk(service())
    (first,) = talk.ask(EDS, "fraud/v1")
    (second,) = talk.nack(first, "fraud/v1", "fraud/v2")
    assert names(second) == ["fraud/v2"]


def test_an_unknown_type_is_held_and_left_unanswered() -> None:
    """A proxy may ask for secrets and the like; that does not end its stream."""
    talk = Talk(service())
    assert talk.ask(SECRETS, "certificate") == []
    assert types(talk.ask(CDS)) == [CDS]


def test_one_response_of_a_type_is_outstanding_and_the_newest_wins() -> None:
    """A slow client skips what came between."""
    talk = Talk(service())
    (first,) = talk.ask(RDS, TABLE)
    for weight in (500, 1000, 2500):
        assert talk.publish(service(canary=("v2", weight))) == []
    (newest,) = talk.ack(first, TABLE)
    assert newest.version_info == talk.snapshot.catalogue(RDS).version
    assert talk.ack(newest, TABLE) == []


@pytest.mark.proves("xds-bug Istio #25495")
def test_before_the_first_view_nothing_is_said_and_nothing_forgotten() -> None:
    """An empty world is never served because the real one is not there yet."""
    talk = Talk(service())
    talk.stream = type(talk.stream)(delta=False)
    assert talk.ask(CDS) == []
    assert types(talk.event(talk.snapshot)) == [CDS]
