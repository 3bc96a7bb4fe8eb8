"""Which rollout waits for which proxy, what for and since when: what `haldane proxies` shows."""

import pytest

from controller.core.model.state import ServiceState
from controller.ports.fleet import RolloutWait
from controller.xds.protocol.nack_log import NackLog
from controller.xds.protocol.node import Node
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.protocol.proxy_status import proxy_statuses
from controller.xds.protocol.service_sync import service_sync
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.support.waiting import wait_until
from tests.xds.door import Door
from tests.xds.talk import Talk, greeted
from tests.xds.worlds import STORE, service, view

TABLE = "127.0.0.1:10000"
ONE = {"v1": ["127.0.0.1:9001"]}
TWO = ONE | {"v2": ["127.0.0.1:9002"]}
SINCE = {CDS: 100.0, EDS: 101.0, LDS: 102.0, RDS: 103.0}


def waits(talk: Talk) -> tuple[RolloutWait, ...]:
    """What the rollouts of this talk's world wait for."""
    (proxy,) = proxy_statuses([watched(talk)], talk.world.running, NackLog(1).last, now=200.0, confirm=10.0)
    return proxy.waits


def watched(talk: Talk, node: str = "edge-1") -> ObservedStream:
    """The stream of a proxy of that name."""
    return ObservedStream(Node(node, "edge", "envoy"), talk.stream, talk.snapshot, 1.0, SINCE)


def rolling(weight: int = 500, **more: object) -> ServiceState:
    """A service whose rollout runs."""
    return service(canary=("v2", weight), **more)  # type: ignore[arg-type]


def test_it_waits_for_routes_that_are_sent() -> None:
    """Then for none once they are acknowledged. A service without a rollout waits for nobody."""
    talk = greeted(service(), service("idle", port=10001))
    (step,) = talk.publish(rolling(), service("idle", port=10001))
    assert waits(talk) == (RolloutWait("fraud", "its routes are sent and not acknowledged", 103.0),)
    talk.ack(step, TABLE, "127.0.0.1:10001")
    assert waits(talk) == ()
    (over,) = talk.publish(service(), service("idle", port=10001))
    assert over
    assert waits(talk) == ()


def test_it_waits_for_routes_that_wait_for_others() -> None:
    """One response is outstanding: the newest goes out after it."""
    talk = greeted(service())
    (first,) = talk.publish(rolling(500))
    talk.publish(rolling(1000))
    assert waits(talk) == (RolloutWait("fraud", "earlier routes are sent and not acknowledged", 103.0),)
    talk.ack(first, TABLE)
    assert waits(talk) == (RolloutWait("fraud", "its routes are sent and not acknowledged", 103.0),)


@pytest.mark.proves("xds-rule 38")
def test_it_waits_for_clusters_that_warm() -> None:
    """They are named, with since when."""
    talk = greeted(service(versions=ONE))
    talk.publish(rolling(versions=TWO))
    assert waits(talk) == (RolloutWait("fraud", "clusters are not warm: fraud/v2", 100.0),)


def test_it_waits_for_a_proxy_that_refused() -> None:
    """In the proxy's words."""
    talk = greeted(service())
    (step,) = talk.publish(rolling())
    talk.nack(step, TABLE, error="no such thing")
    assert waits(talk) == (RolloutWait("fraud", "refused: no such thing", 103.0),)


def test_it_waits_until_we_have_seen_what_the_proxy_has_seen() -> None:
    """After a switch to a controller that is behind."""
    talk = Talk(rolling(), revision=8)
    talk.ask(CDS, version=f"{STORE}.{9:016d}-0123456789abcdef")
    talk.ask(RDS, TABLE)
    (wait,) = waits(talk)
    assert wait.reason == "held back: the proxy has seen revision 9 of this store, we are at 8"


def test_who_is_behind_is_named() -> None:
    """For the rollout's own words, in order."""
    here, away = greeted(rolling()), greeted(service())
    away.publish(rolling())
    found = service_sync([watched(here, "a"), watched(away, "c"), watched(away, "b")], "fraud")
    assert (found.synced, found.total, found.behind) == (1, 3, ("b", "c"))


@pytest.mark.proves("track-record 45")
async def test_who_is_behind_is_so_since_then_however_often_there_is_news(xds: Door) -> None:
    """A silent proxy is called unconfirmed also while new revisions come faster than its time is up."""
    xds.xds.publish(view(1, service()))
    client = xds.open()
    await client.send(type_url=RDS, resource_names=[TABLE], node="edge-1")
    await client.accept(await client.read(), TABLE)
    await wait_until(lambda: xds.xds.proxies()[0].state == "SYNCED")
    xds.xds.publish(view(2, rolling(500)))
    await client.read()
    since = xds.xds.proxies()[0].types[0].since
    for weight in (600, 700, 800):
        xds.xds.publish(view(weight, rolling(weight)))
        await client.send(type_url=EDS)  # so that the server turns to this stream
        await wait_until(lambda weight=weight: xds.xds.sync("fraud", weight).total == 1)
    (status,) = [status for status in xds.xds.proxies()[0].types if status.type_url == RDS]
    assert (status.state, status.since) == ("STALE", since)
    assert [wait.since for wait in xds.xds.proxies()[0].waits] == [since]
