"""What a proxy NACKs is counted each time and told once, whatever it does in between."""

import asyncio
import time
from itertools import pairwise

import pytest
from hypothesis import given

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.ports.fleet import Nack
from controller.xds.limits import Limits
from controller.xds.protocol.discovery import Retry
from controller.xds.protocol.nack_log import NackLog
from controller.xds.protocol.nacked_contents import nacked_contents
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.wire import parse_request
from tests.support.unsafe_text import UNSAFE, unsafe_texts
from tests.support.waiting import wait_until
from tests.xds.local_server import LocalServer, RawClient, local_server
from tests.xds.scripted_client import ScriptedClient, names, synced_client
from tests.xds.views import service, view

TABLE = "127.0.0.1:10000"


@given(unsafe_texts())
def test_what_a_client_says_of_itself_is_read_clean(text: str) -> None:
    """Its NACK's message keeps its lines, of which each is about one listener; its name and version are one line."""
    text = text.encode(errors="ignore").decode()
    message = pb.DiscoveryRequest(type_url=LDS, node=pb.Node(id="a", user_agent_name=text, user_agent_version=text))
    message.error_detail.message = f"a{text}\nb"
    request, node = parse_request(message.SerializeToString(), "", Limits())
    assert node is not None
    assert request.error_detail is not None
    assert request.error_detail.endswith("\nb")
    assert not UNSAFE.search(request.error_detail.replace("\n", "").replace("\t", "") + node.client)


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


OTHER = "127.0.0.1:10001"
TAKEN = f"cannot bind '{TABLE}': Address already in use"


def nacked_listeners(error: str, *, delta: bool) -> ScriptedClient:
    """A client that NACKed its first listeners with that message."""
    client = ScriptedClient(service(), service("score", port=10001), delta=delta)
    (listeners,) = client.subscribe(LDS) if delta else client.request(LDS)
    assert sorted(names(listeners)) == [TABLE, OTHER]
    client.nack(listeners, error=error)
    return client


@pytest.mark.proves("xds-rule 11")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_only_what_the_proxy_could_not_bind_is_retryable(delta: bool) -> None:
    """The other listener is refused for its content, and a retry of the first one does not send it again as new."""
    client = nacked_listeners(f"Error adding {TABLE}: {TAKEN}\n{OTHER}: bad filter\n", delta=delta)
    state = client.stream.types[LDS]
    assert state.pending is None
    listeners = client.snapshot.catalogue(LDS).listed
    assert state.nacked == {listeners[TABLE].content, listeners[OTHER].content}
    assert state.retryable == {listeners[TABLE].content}
    (again,) = client.event(Retry(state.retryable))
    assert names(again) == [TABLE]
    assert client.nack(again, error=TAKEN) == []
    assert client.stream.types[LDS].retryable == {listeners[TABLE].content}
    (third,) = client.event(Retry(client.stream.types[LDS].retryable))
    client.ack(third)
    assert client.stream.types[LDS].nacked == {listeners[OTHER].content}
    assert client.stream.types[LDS].accepted.keys() == {TABLE}
    assert client.event(Retry(frozenset())) == []


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (f"{TABLE}: {TAKEN}", True),
        (f"{TABLE}: cannot bind '{TABLE}': Cannot assign requested address", True),
        (f"{TABLE}: cannot bind '{TABLE}': Permission denied", True),
        (f"{TABLE}: has duplicate address '{TABLE}'", False),
        (f"{TABLE}: no such filter\nsome other listener: Address already in use", False),
        ("Address already in use", False),
    ],
)
def test_what_a_nack_says_of_the_proxys_environment(error: str, passes: bool) -> None:
    """Envoy's own words, line by line; a message that names nothing is about the content."""
    client = nacked_listeners(error, delta=True)
    assert bool(client.stream.types[LDS].retryable) is passes


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_all_of_a_long_nack_counts_though_only_its_beginning_is_kept(delta: bool) -> None:
    """A proxy whose ports are all taken names each of them; none counts as accepted."""
    ports = range(10000, 10060)
    client = ScriptedClient(*(service(f"s{port}", port=port) for port in ports), delta=delta)
    (listeners,) = client.subscribe(LDS) if delta else client.request(LDS)
    places = [f"127.0.0.1:{port}" for port in ports]
    error = "".join(f"{place}: cannot bind '{place}': Address already in use\n" for place in places)
    assert client.nack(listeners, error=error) == []
    state = client.stream.types[LDS]
    assert len(state.retryable) == len(places)
    assert not state.accepted
    assert state.error_detail == error[:1024]
    (again,) = client.event(Retry(state.retryable))
    assert sorted(names(again)) == places


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_what_is_nacked_is_known_by_service(delta: bool) -> None:
    """Routes and listeners of one service, or everything."""
    client = synced_client(service(), service("score", port=10001), delta=delta)
    (step,) = client.publish(service(canary=("v2", 500)), service("score", port=10001))
    assert client.nack(step, TABLE, OTHER) == []
    assert nacked_contents(client.stream, "score") == frozenset()
    of_fraud = nacked_contents(client.stream, "fraud")
    assert of_fraud == nacked_contents(client.stream, "") == client.stream.types[RDS].nacked
    (again,) = client.event(Retry(of_fraud))
    assert names(again) == [TABLE]
    assert client.ack(again, TABLE, OTHER) == []
    assert nacked_contents(client.stream, "") == frozenset()


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
async def test_an_operators_retry_sends_once_more_what_was_nacked(xds: LocalServer, delta: bool) -> None:
    """Whatever the reason; the second NACK withholds it again, and nothing loops."""
    xds.xds.publish(view(1, service()))
    client = await stream(xds, delta=delta)
    await refuse(xds, client, delta=delta)
    assert xds.xds.retry("score") == ()
    assert xds.xds.retry("fraud") == ("edge-1",)
    await refuse(xds, client, delta=delta)
    assert told(xds) == [True, False]
    assert xds.xds.retry("") == ("edge-1",)
    await accept(client, delta=delta)
    await wait_until(lambda: xds.xds.proxies()[0].state == "SYNCED")
    assert xds.xds.retry("") == ()


async def test_what_could_not_be_bound_is_sent_again_after_pauses_that_grow() -> None:
    """By itself, until it is accepted; what is NACKed for its content is not."""
    async with local_server(Limits(first_retry=0.1, last_retry=0.4)) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        await client.send(type_url=LDS, node="edge-1")
        sent = []
        for _ in range(5):
            response = await client.read()
            sent.append(time.monotonic())
            await client.send(type_url=LDS, nonce=response.nonce, error=f"{TABLE}: {TAKEN}")
        pauses = [after - before for before, after in pairwise(sent)]
        for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2), strict=True):
            assert pause >= least
        assert pauses[-1] < 2.0
        response = await client.read()
        await client.send(type_url=LDS, nonce=response.nonce, error=f"{TABLE}: no such filter")
        with pytest.raises(TimeoutError):
            await client.read(within=1.0)
        assert told(xds) == [True] + 5 * [False]


async def test_the_end_of_a_stream_ends_its_retries() -> None:
    """Nothing is left that would be sent to a client that has gone."""
    async with local_server(Limits(first_retry=0.1)) as xds:
        xds.xds.publish(view(1, service()))
        client = xds.open()
        await client.send(type_url=LDS, node="edge-1")
        response = await client.read()
        await client.send(type_url=LDS, nonce=response.nonce, error=f"{TABLE}: {TAKEN}")
        await wait_until(lambda: told(xds))
        client.call.cancel()
        await wait_until(lambda: not xds.xds.proxies())
        await asyncio.sleep(0.3)
        assert told(xds) == [True]


def test_after_a_partial_nack_of_clusters_a_route_waits_for_endpoints() -> None:
    """The client applies the clusters that it does not NACK, and its NACK does not say that they are warm."""
    client = synced_client(service())
    places = {f"v{n}": [f"127.0.0.1:900{n}"] for n in (1, 2, 3)}
    changed = service(versions=places, canary=("v3", 500))
    clusters, listeners = client.publish(changed, service("score", port=10001))
    assert (clusters.type_url, listeners.type_url) == (CDS, LDS)
    assert client.nack(clusters, error="score/v1: bad\nscore/v2: bad") == []
    wanted = ("fraud/v1", "fraud/v2", "fraud/v3")
    (endpoints,) = client.request(EDS, *wanted, nonce=client.newest_nonce(EDS))
    assert names(endpoints) == ["fraud/v3"]
    (routes,) = client.ack(endpoints, *wanted)
    assert names(routes) == [TABLE]


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_a_nacked_removal_is_sent_once_more_only_when_an_operator_says_so(delta: bool) -> None:
    """Nothing in it is new, so no content is to blame."""
    client = synced_client(service(), service("score", port=10001), delta=delta)
    listeners = next(response for response in client.publish(service()) if response.type_url == LDS)
    assert client.nack(listeners) == []
    assert client.publish(service(revision=2)) == []
    assert client.event(Retry(frozenset())) == []
    (again,) = client.event(Retry(frozenset(), removals=True))
    assert (again.resources, again.removed_resources) == (listeners.resources, listeners.removed_resources)


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_endpoints_that_a_cluster_waits_for_survive_the_nack_of_others(delta: bool) -> None:
    """The client applied nothing of the response: its clusters would warm without end."""
    client = synced_client(service(), service("score", port=10001), delta=delta)
    moved = service("score", port=10001, versions={"v1": ["127.0.0.1:9991"], "v2": ["127.0.0.1:9992"]})
    clusters, endpoints = client.publish(service(protocol="grpc"), moved)
    assert (clusters.type_url, names(endpoints)) == (CDS, ["fraud/v1", "fraud/v2", "score/v1", "score/v2"])
    wanted = tuple(names(endpoints))
    (again,) = client.nack(endpoints, *wanted, error="score/v1: bad\nscore/v2: bad")
    assert names(again) == ["fraud/v1", "fraud/v2"]
