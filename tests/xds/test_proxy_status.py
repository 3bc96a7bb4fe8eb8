"""Which rollout waits for which proxy, what for and since when: what `haldane proxies` shows."""

import pytest

from controller.core.model.service_state import ServiceState
from controller.ports.fleet import RolloutWait
from controller.xds.protocol.nack_log import NackLog
from controller.xds.protocol.node import Node
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.protocol.proxy_status import proxy_statuses
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
    (proxy,) = proxy_statuses([watched(client)], client.snapshots.running, NackLog(1).last, now=200.0, confirm=10.0)
    return proxy.waits


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
