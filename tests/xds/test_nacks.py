"""What a proxy NACKs is counted each time and told once, whatever it does in between."""

import pytest

from controller.ports.fleet import Nack
from controller.xds.protocol.nack_log import NackLog
from controller.xds.resources.type_urls import CDS, RDS
from tests.support.waiting import wait_until
from tests.xds.local_server import LocalServer, RawClient
from tests.xds.scripted_client import ScriptedClient
from tests.xds.views import service, view

TABLE = "127.0.0.1:10000"


async def refuse(xds: LocalServer, client: RawClient, *, delta: bool, error: str = "bad") -> None:
    """Read the next response of routes, and NACK it."""
    before = len(told(xds))
    if delta:
        await client.send_delta(type_url=RDS, nonce=(await client.read_delta()).nonce, error=error)
    else:
        response = await client.read()
        await client.send(type_url=RDS, resource_names=[TABLE], nonce=response.nonce, error=error)
    await wait_until(lambda: len(told(xds)) == before + 1)


async def accept(client: RawClient, *, delta: bool) -> None:
    """Read the next response of routes, and accept it."""
    if delta:
        await client.send_delta(type_url=RDS, nonce=(await client.read_delta()).nonce)
    else:
        await client.accept(await client.read(), TABLE)


async def stream(xds: LocalServer, *, delta: bool, node: str = "edge-1") -> RawClient:
    """A stream that asks for the routes."""
    if delta:
        client = xds.open("DeltaAggregatedResources")
        await client.send_delta(type_url=RDS, resource_names_subscribe=[TABLE], node=node)
    else:
        client = xds.open()
        await client.send(type_url=RDS, resource_names=[TABLE], node=node)
    return client


def told(xds: LocalServer) -> list[bool]:
    """Of each NACK: whether it was news."""
    return [line[-1] for line in xds.observer.events if line[0] == "nack"]


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_nack_repeated_after_a_reconnect_is_not_new(xds: LocalServer, delta: bool) -> None:
    """Each new stream is sent what an earlier one NACKed, since a restarted proxy may take it; told once."""
    xds.xds.publish(view(1, service()))
    for _ in range(3):
        client = await stream(xds, delta=delta)
        await refuse(xds, client, delta=delta)
        client.call.cancel()
        await wait_until(lambda: not xds.xds.proxies())
    assert told(xds) == [True, False, False]
    other = await stream(xds, delta=delta, node="edge-2")
    await refuse(xds, other, delta=delta)
    assert told(xds) == [True, False, False, True]


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_a_nack_of_a_change_that_returns_is_reported_once(xds: LocalServer, delta: bool) -> None:
    """Good and NACKed in turn: only another NACKed content is news. What was NACKed last stays on show."""
    xds.xds.publish(view(1, service()))
    client = await stream(xds, delta=delta)
    await accept(client, delta=delta)
    await wait_until(lambda: xds.xds.sync("fraud", 1).complete)
    for revision in range(2, 6, 2):
        xds.xds.publish(view(revision, service(canary=("v2", 500))))
        await refuse(xds, client, delta=delta)
        xds.xds.publish(view(revision + 1, service(canary=("v2", 400 + revision))))
        await accept(client, delta=delta)
        await wait_until(lambda: xds.xds.sync("fraud", 1).complete)
    assert told(xds) == [True, False]
    xds.xds.publish(view(9, service(canary=("v2", 700))))
    await refuse(xds, client, delta=delta, error="worse")
    assert told(xds) == [True, False, True]
    last = xds.xds.proxies()[0].last_nack
    assert last
    assert (last.type_url, last.error) == (RDS, "worse")


@pytest.mark.proves("track-record 47")
async def test_a_nack_of_an_unknown_type_is_not_reported(xds: LocalServer) -> None:
    """Else any text that a client sends as a type would become a label of a metric."""
    xds.xds.publish(view(1, service()))
    client = xds.open("DeltaAggregatedResources")
    await client.send_delta(type_url="type.googleapis.com/made.Up", resource_names_subscribe=["x"], node="edge-1")
    nothing = await client.read_delta()
    assert nothing.removed_resources == ["x"]
    await client.send_delta(type_url="type.googleapis.com/made.Up", nonce=nothing.nonce, error="no")
    await client.send_delta(type_url=CDS)
    assert (await client.read_delta()).type_url == CDS
    assert told(xds) == []


def test_the_oldest_nack_is_forgotten() -> None:
    """The memory is bounded; what is NACKed again is as young as when it was NACKed last."""
    refusals = NackLog(2)

    def take(node: str, content: str) -> bool:
        return refusals.record(node, "edge", Nack(RDS, 1.0, content), [content])

    assert [take("a", "1"), take("b", "1"), take("a", "1"), take("c", "1")] == [True, True, False, True]
    assert [take("a", "1"), take("b", "1")] == [False, True]
    assert refusals.last("c", "edge") is None
    assert refusals.last("b", "edge") == Nack(RDS, 1.0, "1")


@pytest.mark.proves("track-record 46")
def test_a_nack_counts_for_the_name_in_its_error_and_not_for_a_prefix() -> None:
    """The text says v10: v1, which came in the same response, is not held against."""
    places = {"v1": ["127.0.0.1:9001"], "v10": ["127.0.0.1:9010"]}
    for text in ("Error adding/updating cluster(s) fraud/v10: no good", "cluster fraud/v10.", "'fraud/v10' is bad"):
        client = ScriptedClient(service(versions=places))
        (clusters,) = client.request(CDS)
        client.nack(clusters, error=text)
        blamed = client.stream.types[CDS].nacked
        assert blamed == {client.snapshot.catalogue(CDS).listed["fraud/v10"].content}, text
