"""Which rollout waits for which proxy, what for and since when: what `haldane proxies` shows."""

from dataclasses import replace

import pytest

from controller.core.model.service_state import ServiceState
from controller.ports.fleet import Nack, ProxyStatus, RolloutWait
from controller.xds.protocol.nack_log import NackLog
from controller.xds.protocol.node import Node
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.protocol.proxy_status import ProxyStatuses
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from tests.support.waiting import wait_until
from tests.xds.local_server import LocalServer
from tests.xds.scripted_client import ScriptedClient, synced_client
from tests.xds.views import STORE, service, view

TABLE = "127.0.0.1:10000"
ONE = {"v1": ["127.0.0.1:9001"]}
TWO = ONE | {"v2": ["127.0.0.1:9002"]}
SINCE = {CDS: 100.0, EDS: 101.0, LDS: 102.0, RDS: 103.0}


def waits(client: ScriptedClient) -> tuple[RolloutWait, ...]:
    """What the rollouts of this client's world wait for."""
    return status(ProxyStatuses(10.0), client).waits


def status(statuses: ProxyStatuses, client: ScriptedClient, now: float = 200.0) -> ProxyStatus:
    """How far the one proxy of this client's world is."""
    (proxy,) = statuses.of([watched(client)], client.snapshots.running, NackLog(1).last, now)
    return proxy


def watched(client: ScriptedClient, node: str = "edge-1") -> ObservedStream:
    """The stream of a proxy of that name."""
    return ObservedStream(Node(node, "edge", "envoy"), client.stream, client.snapshot, 1.0, SINCE)


def rolling(weight: int = 500, **more: object) -> ServiceState:
    """A service whose rollout runs."""
    return service(canary=("v2", weight), **more)  # type: ignore[arg-type]


def test_a_rollout_waits_for_the_ack_of_its_routes() -> None:
    """Then for none once they are ACKed. A service without a rollout waits for nobody."""
    client = synced_client(service(), service("idle", port=10001))
    (step,) = client.publish(rolling(), service("idle", port=10001))
    assert waits(client) == (RolloutWait("fraud", "its routes are sent and not ACKed", 103.0),)
    client.ack(step, TABLE, "127.0.0.1:10001")
    assert waits(client) == ()
    (over,) = client.publish(service(), service("idle", port=10001))
    assert over
    assert waits(client) == ()


def test_a_rollout_waits_for_the_ack_of_earlier_routes() -> None:
    """One response is outstanding: the newest goes out after it."""
    client = synced_client(service())
    (first,) = client.publish(rolling(500))
    client.publish(rolling(1000))
    assert waits(client) == (RolloutWait("fraud", "earlier routes are sent and not ACKed", 103.0),)
    client.ack(first, TABLE)
    assert waits(client) == (RolloutWait("fraud", "its routes are sent and not ACKed", 103.0),)


@pytest.mark.proves("xds-rule 38")
def test_a_rollout_waits_for_warming_clusters() -> None:
    """They are named, with since when."""
    client = synced_client(service(versions=ONE))
    client.publish(rolling(versions=TWO))
    assert waits(client) == (RolloutWait("fraud", "clusters are not warm: fraud/v2", 100.0),)


def test_a_rollout_waits_for_a_proxy_that_nacked() -> None:
    """In the proxy's words."""
    client = synced_client(service())
    (step,) = client.publish(rolling())
    client.nack(step, TABLE, error="no such thing")
    assert waits(client) == (RolloutWait("fraud", "NACK: no such thing", 103.0),)


def test_a_rollout_waits_while_the_proxy_is_ahead_of_the_controller() -> None:
    """After a switch to a controller that is behind."""
    client = ScriptedClient(rolling(), revision=8)
    client.request(CDS, version=f"{STORE}.{9:016d}-0123456789abcdef")
    client.request(RDS, TABLE)
    (wait,) = waits(client)
    assert wait.reason == "held back: the proxy has seen revision 9 of this store, this controller is at 8"


class TestRemembered:
    """A status is remembered while nothing happens to its proxy, and is always what it would be made anew."""

    def test_a_proxy_to_which_nothing_has_happened_keeps_its_status(self) -> None:
        """It is not made again."""
        client, statuses = synced_client(service()), ProxyStatuses(10.0)
        assert status(statuses, client) is status(statuses, client, now=900.0)

    def test_whatever_happens_it_is_as_if_made_anew(self) -> None:
        """Pushes, ACKs, NACKs, a new node of the same state, and nothing but time."""
        client, statuses = synced_client(service()), ProxyStatuses(10.0)
        seen = []

        def check(now: float = 200.0) -> None:
            known = status(statuses, client, now)
            assert known == status(ProxyStatuses(10.0), client, now)
            seen.append(known.state)

        check()
        (first,) = client.publish(rolling(500))
        check()
        check(now=900.0)
        client.ack(first, TABLE)
        check()
        (second,) = client.publish(rolling(600))
        client.nack(second, TABLE, error="no such thing")
        check()
        check(now=900.0)
        assert seen == ["SYNCED", "STALE", "STALE", "SYNCED", "ERROR", "ERROR"]

    def test_the_time_of_a_state_that_came_back_is_the_new_one(self) -> None:
        """A proxy that was pushed the former routes again is in the former state, since now."""
        client, statuses, since = synced_client(service()), ProxyStatuses(10.0), dict(SINCE)

        def time_of_routes() -> float:
            (proxy,) = statuses.of([replace(watched(client), since=since)], [], NackLog(1).last, 200.0)
            return proxy.types[-1].since

        assert time_of_routes() == 103.0
        since[RDS] = 150.0
        assert time_of_routes() == 150.0

    def test_a_nack_that_is_over_is_told(self) -> None:
        """Also when it comes to be known by nothing but the log of NACKs."""
        client, statuses, nacks = synced_client(service()), ProxyStatuses(10.0), NackLog(1)
        (before,) = statuses.of([watched(client)], [], nacks.last, 200.0)
        nack = Nack(RDS, 199.0, "no such thing")
        (after,) = statuses.of([watched(client)], [], lambda _node, _fleet: nack, 200.0)
        assert (before.last_nack, after.last_nack) == (None, nack)

    def test_who_has_left_is_forgotten(self) -> None:
        """And is seen anew when it comes again."""
        client, statuses = synced_client(service()), ProxyStatuses(10.0)
        before = status(statuses, client)
        assert statuses.of([], [], NackLog(1).last, 200.0) == ()
        assert status(statuses, client) is not before


@pytest.mark.proves("track-record 45")
async def test_a_stale_proxy_keeps_its_time_however_many_snapshots_follow(xds: LocalServer) -> None:
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
