"""SotW: nonces, subscriptions and content, rule by rule of Envoy's xDS protocol."""

import pytest

from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.scripted_client import ScriptedClient, names, types
from tests.xds.views import service

TABLE = "127.0.0.1:10000"
SECRETS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


@pytest.mark.proves("xds-rule 3")
def test_every_response_has_a_unique_nonce_and_the_type_of_its_request() -> None:
    """Nonces are unique in a stream, and each type has its own conversation."""
    client = ScriptedClient(service())
    responses = [*client.request(CDS), *client.request(EDS, "fraud/v1"), *client.request(LDS)]
    assert types(responses) == [CDS, EDS, LDS]
    assert len({response.nonce for response in responses}) == 3
    assert all(resource.packed for response in responses for resource in response.resources)


@pytest.mark.proves("xds-rule 16")
def test_an_ack_gets_no_response() -> None:
    """When nothing changed there is nothing to say."""
    client = ScriptedClient(service())
    (clusters,) = client.request(CDS)
    assert client.ack(clusters) == []


@pytest.mark.proves("bad-input 3", "xds-rule 15")
def test_a_stale_nonce_gets_no_response_and_changes_nothing() -> None:
    """A request whose nonce is not the newest is superseded by the one that answers the newest."""
    client = ScriptedClient(service())
    (first,) = client.request(EDS, "fraud/v1")
    client.ack(first, "fraud/v1")
    (second,) = client.request(EDS, "fraud/v1", "fraud/v2", nonce=first.nonce)
    assert client.request(EDS, "fraud/v1", nonce=first.nonce) == []
    assert client.request(EDS, "fraud/v1", nonce="never sent") == []
    assert client.request(EDS) == []
    assert client.stream.types[EDS].subscription.names == {"fraud/v1", "fraud/v2"}
    assert client.ack(second, "fraud/v1", "fraud/v2") == []


@pytest.mark.proves("xds-rule 12", "xds-rule 27")
def test_a_stale_request_is_made_up_for_by_the_ack_that_follows() -> None:
    """What a dropped request asked for is in the next one, since each repeats the full list."""
    client = ScriptedClient(service())
    (first,) = client.request(EDS, "fraud/v1")
    assert client.request(EDS, "fraud/v1", "fraud/v2") == []
    (second,) = client.ack(first, "fraud/v1", "fraud/v2")
    assert names(second) == ["fraud/v2"]


def test_the_first_request_gets_a_response_even_if_its_version_is_the_newest() -> None:
    """A client that comes back may have lost what it was about to warm: every type is answered once more."""
    client = ScriptedClient(service())
    version = client.snapshot.catalogue(EDS).version
    (endpoints,) = client.request(EDS, "fraud/v1", version=version)
    assert names(endpoints) == ["fraud/v1"]
    (clusters,) = client.request(CDS, version=client.snapshot.catalogue(CDS).version)
    assert names(clusters) == ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("bad-input 3", "xds-rule 46")
def test_a_nonce_from_an_earlier_stream_is_ignored() -> None:
    """Envoys before 2023 repeated the last nonce on a new stream."""
    client = ScriptedClient(service())
    (clusters,) = client.request(CDS, version="old", nonce="17")
    assert names(clusters) == ["fraud/v1", "fraud/v2"]


@pytest.mark.proves("xds-rule 17", "xds-rule 18")
def test_resource_names_are_the_full_list_in_each_request() -> None:
    """A name that is missing is no longer subscribed, and one that comes back is sent again."""
    client = ScriptedClient(service())
    (first,) = client.request(EDS, "fraud/v1", "fraud/v2")
    assert client.ack(first, "fraud/v1") == []
    (again,) = client.request(EDS, "fraud/v1", "fraud/v2", nonce=first.nonce)
    assert names(again) == ["fraud/v2"]


@pytest.mark.proves("xds-rule 22")
def test_a_resource_that_does_not_exist_yet_is_sent_once_it_does() -> None:
    """Subscriptions outlive the absence of what they name."""
    client = ScriptedClient(service())
    assert client.request(EDS, "later/v1") == []
    (endpoints,) = client.publish(service(), service("later", port=10001))
    assert names(endpoints) == ["later/v1"]


@pytest.mark.proves("xds-rule 19")
def test_an_empty_list_is_a_wildcard_until_a_name_was_given() -> None:
    """The legacy wildcard of CDS and LDS is lost with the first name, explicit `*` included."""
    client = ScriptedClient(service())
    (every,) = client.request(CDS)
    assert names(every) == ["fraud/v1", "fraud/v2"]
    (starred,) = client.ack(every, "*", "fraud/v1")
    assert names(starred) == ["fraud/v1", "fraud/v2"]
    client.ack(starred, "*", "fraud/v1")
    assert client.request(CDS, "fraud/v1", nonce=starred.nonce) == []
    state = client.stream.types[CDS]
    assert (state.subscription.wildcard, set(state.subscription.names)) == (False, {"fraud/v1"})
    client.request(CDS, nonce=client.newest_nonce(CDS))
    state = client.stream.types[CDS]
    assert (state.subscription.wildcard, set(state.subscription.names)) == (False, set())


@pytest.mark.parametrize("type_url", [EDS, RDS])
def test_an_empty_list_of_endpoints_or_routes_means_none(type_url: str) -> None:
    """Envoy sends it when its last cluster goes; to take it for a wildcard would send everything."""
    client = ScriptedClient(service())
    assert client.request(type_url) == []
    assert not client.stream.types[type_url].subscription.wildcard


@pytest.mark.proves("xds-rule 28")
def test_cds_and_lds_send_the_full_set_eds_and_rds_what_changed() -> None:
    """Absence from a full set is deletion; a partial answer deletes nothing."""
    one, two = service(), service("other", port=10001)
    client = ScriptedClient(one, two)
    (clusters,) = client.request(CDS)
    (endpoints,) = client.request(EDS, "fraud/v1", "other/v1")
    for response, asked in ((clusters, ()), (endpoints, ("fraud/v1", "other/v1"))):
        client.ack(response, *asked)
    moved = service("other", port=10001, versions={"v1": ["127.0.0.1:9991"], "v2": ["127.0.0.1:9002"]})
    (changed,) = client.publish(one, moved)
    assert (changed.type_url, names(changed)) == (EDS, ["other/v1"])
    client.ack(changed, "fraud/v1", "other/v1")
    (left,) = client.publish(one)
    assert (left.type_url, names(left)) == (CDS, ["fraud/v1", "fraud/v2"])


@pytest.mark.proves("xds-rule 31")
def test_the_version_changes_exactly_when_the_content_does() -> None:
    """Equal content is never sent twice, whatever else the store wrote."""
    client = ScriptedClient(service())
    (clusters,) = client.request(CDS)
    client.ack(clusters)
    assert client.publish(service(revision=2)) == []
    (more,) = client.publish(service(versions={"v1": ["127.0.0.1:9001"], "v3": ["127.0.0.1:9003"]}))
    assert more.version_info != clusters.version_info


@pytest.mark.proves("xds-rule 10")
def test_a_nack_is_known_by_its_error_detail_alone_and_not_repeated() -> None:
    """After a NACK the same is not sent again; what changed is."""
    client = ScriptedClient(service())
    (routes,) = client.request(RDS, TABLE)
    client.ack(routes, TABLE)
    (step,) = client.publish(service(canary=("v2", 500)))
    assert client.nack(step, TABLE) == []
    assert client.publish(service(canary=("v2", 500), revision=9)) == []
    (back,) = client.publish(service(canary=("v2", 1000)))
    assert names(back) == [TABLE]
    assert client.ack(back, TABLE) == []


@pytest.mark.proves("xds-rule 11")
def test_a_nack_may_carry_a_new_subscription() -> None:
    """The names of a refusing request count like any other's."""
    client = ScriptedClient(service())
    (first,) = client.request(EDS, "fraud/v1")
    (second,) = client.nack(first, "fraud/v1", "fraud/v2")
    assert names(second) == ["fraud/v2"]


def test_an_unknown_type_is_accepted_and_gets_no_response() -> None:
    """A proxy may ask for secrets and the like; that does not end its stream."""
    client = ScriptedClient(service())
    assert client.request(SECRETS, "certificate") == []
    assert types(client.request(CDS)) == [CDS]


def test_one_response_of_a_type_is_pending_and_the_newest_snapshot_wins() -> None:
    """A slow client skips what came between."""
    client = ScriptedClient(service())
    (first,) = client.request(RDS, TABLE)
    for weight in (500, 1000, 2500):
        assert client.publish(service(canary=("v2", weight))) == []
    (newest,) = client.ack(first, TABLE)
    assert newest.version_info == client.snapshot.catalogue(RDS).version
    assert client.ack(newest, TABLE) == []


@pytest.mark.proves("xds-bug Istio #25495")
def test_before_the_first_view_there_is_no_response_and_nothing_is_forgotten() -> None:
    """An empty world is never served because the real one is not there yet."""
    client = ScriptedClient(service())
    client.restart()
    assert client.request(CDS) == []
    assert types(client.event(client.snapshot)) == [CDS]
