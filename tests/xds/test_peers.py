"""What other control planes got wrong, each by the number under which their users reported it; and that we do not."""

import pytest

from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.xds.talk import Talk, greeted, names, types
from tests.xds.worlds import service

TABLE = "127.0.0.1:10000"
MOVED = {"v1": ["127.0.0.1:9991"], "v2": ["127.0.0.1:9002"]}


@pytest.mark.proves("xds-bug go-control-plane #526")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_endpoints_that_are_asked_for_before_clusters_are_answered(delta: bool) -> None:
    """go-control-plane #526: after a reconnect they may come first. And #245: clusters bring them again."""
    talk = Talk(service(), delta=delta)
    (first,) = talk.subscribe(EDS, "fraud/v1") if delta else talk.ask(EDS, "fraud/v1")
    assert names(first) == ["fraud/v1"]
    talk.ack(first, "fraud/v1")
    clusters, again = talk.subscribe(CDS) if delta else talk.ask(CDS)
    assert (clusters.type_url, names(again)) == (CDS, ["fraud/v1"])


@pytest.mark.proves("xds-bug go-control-plane #503, #875")
def test_every_type_at_once_and_nobody_waits_for_another() -> None:
    """go-control-plane #503 and #875: with more types than a channel had room for, both sides waited for ever."""
    talk = Talk(service(), delta=True)
    for number in range(40):
        assert types(talk.subscribe(f"type.googleapis.com/no.Such{number}", "x")) == [
            f"type.googleapis.com/no.Such{number}"
        ]
    assert types(talk.subscribe(LDS)) == [LDS]
    assert types(talk.subscribe(CDS)) == [CDS]


@pytest.mark.proves("xds-bug go-control-plane #388", "xds-rule 9")
def test_a_nonce_of_another_stream_acknowledges_nothing() -> None:
    """go-control-plane #388: nonces die with their stream, though both begin at the same number."""
    old, new = Talk(service()), Talk(service())
    (theirs,) = old.ask(RDS, TABLE)
    (ours,) = new.ask(RDS, TABLE, nonce=theirs.nonce)
    assert new.stream.types[RDS].pending
    assert not new.ack(ours, TABLE)
    assert not new.stream.types[RDS].pending


@pytest.mark.proves("xds-bug go-control-plane #1298, #1300, #1301")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_a_changed_subscription_is_never_missed(delta: bool) -> None:
    """go-control-plane #1298, #1300, #1301: while a response is under way, and in the request that accepts it."""
    talk = Talk(service(), delta=delta)
    (first,) = talk.subscribe(EDS, "fraud/v1") if delta else talk.ask(EDS, "fraud/v1")
    assert (talk.subscribe(EDS, "fraud/v2") if delta else talk.ask(EDS, "fraud/v1", "fraud/v2", nonce="stale")) == []
    (second,) = talk.ack(first, "fraud/v1", "fraud/v2")
    assert names(second) == ["fraud/v2"]


@pytest.mark.proves("xds-bug go-control-plane #1319")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_a_name_that_is_not_there_makes_no_loop(delta: bool) -> None:
    """go-control-plane #1319: each request was answered, each answer was acknowledged, without end."""
    talk = Talk(service(), delta=delta)
    if delta:
        (absent,) = talk.subscribe(EDS, "nobody/v1")
        assert talk.ack(absent) == []
        assert talk.event(talk.snapshot) == []
    else:
        assert talk.ask(EDS, "nobody/v1") == []
        assert talk.ask(EDS, "nobody/v1") == []


@pytest.mark.proves("xds-bug go-control-plane #1498")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_what_is_no_longer_wanted_is_not_sent(delta: bool) -> None:
    """go-control-plane #1498: the answer to a superseded request went out after its names had been dropped."""
    talk = Talk(service(), delta=delta)
    (first,) = talk.subscribe(EDS, "fraud/v1") if delta else talk.ask(EDS, "fraud/v1")
    talk.publish(service(versions=MOVED))
    if delta:
        talk.unsubscribe(EDS, "fraud/v1")
        assert talk.ack(first) == []
    else:
        assert talk.ack(first) == []  # with no names
    assert talk.publish(service()) == []


@pytest.mark.proves("xds-bug go-control-plane #1356")
def test_who_names_other_resources_than_there_are_gets_those_that_there_are() -> None:
    """go-control-plane #1356: a client that did not name every resource was never told of new endpoints again."""
    talk = Talk(service())
    (first,) = talk.ask(EDS, "fraud/v1", "nobody/v1")
    assert names(first) == ["fraud/v1"]
    assert talk.ack(first, "fraud/v1", "nobody/v1") == []
    (moved,) = talk.publish(service(versions=MOVED))
    assert names(moved) == ["fraud/v1"]


@pytest.mark.proves("xds-bug agent-substrate #699, wso2 api-platform #1196")
def test_after_a_restart_another_content_is_another_version() -> None:
    """agent-substrate #699, wso2 api-platform #1196: counters began at 1 again, and proxies stayed where they were."""
    (before,) = Talk(service(canary=("v2", 5000)), revision=1).ask(RDS, TABLE)
    after = Talk(service(), revision=1)
    (routes,) = after.ask(RDS, TABLE, version=before.version_info)
    assert routes.version_info != before.version_info


@pytest.mark.proves("xds-bug go-control-plane #962, Istio #21111, Contour #1176")
def test_what_was_refused_makes_no_loop() -> None:
    """go-control-plane #962, Istio #21111, Contour #1176: the same thing was sent at once, and refused, without end."""
    talk = greeted(service())
    (step,) = talk.publish(service(canary=("v2", 500)))
    assert talk.nack(step, TABLE) == []
    assert talk.event(talk.snapshot) == []


@pytest.mark.proves("xds-bug kgateway #14703")
def test_a_reconnect_with_the_newest_version_is_answered_all_the_same() -> None:
    """kgateway #14703: the request was parked, and the cluster that waited for it held up all others."""
    talk = Talk(service())
    (endpoints,) = talk.ask(EDS, "fraud/v1", version=talk.snapshot.catalogue(EDS).version)
    assert names(endpoints) == ["fraud/v1"]
