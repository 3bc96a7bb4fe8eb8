"""Equal streams take equal steps once: what is shared, what is not, and that it makes no difference."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.protocol.discovery import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
    DiscoveryResponse,
    Event,
    Retry,
    SettleTimeout,
)
from controller.xds.protocol.nonces import Nonces
from controller.xds.protocol.stream import step
from controller.xds.protocol.stream_state import StreamState
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.shared_steps import SharedSteps
from controller.xds.wire import nonce_field, serialize_delta_response, serialize_response
from tests.xds.fuzz_examples import EXAMPLES
from tests.xds.numbered_stream import NumberedStream
from tests.xds.scripted_client import ScriptedClient, synced_client
from tests.xds.test_fuzz import DELTA_REQUESTS, REQUESTS, SNAPSHOTS
from tests.xds.views import service, view

TABLE = "127.0.0.1:10000"


def described(responses: Any) -> list[tuple[Any, ...]]:
    """Responses by what they say."""
    return [
        (r.type_url, r.version_info, [(each.name, each.packed) for each in r.resources], r.removed_resources)
        for r in responses
    ]


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(data=st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_a_stream_that_shares_its_steps_sends_what_one_alone_sends(delta: bool, data: st.DataObject) -> None:
    """Whatever the other streams of all these tests did before, and however early steps are forgotten."""
    stream, alone, nonces = NumberedStream(delta=delta), StreamState(delta=delta), Nonces()
    requests: st.SearchStrategy[Event] = DELTA_REQUESTS if delta else REQUESTS
    more = st.sampled_from([SettleTimeout(), Retry(frozenset(), removals=True)])
    for event in data.draw(st.lists(st.one_of(requests, requests, SNAPSHOTS, more), max_size=30)):
        sent = stream.step(event)
        plain = nonces.resolve(event) if isinstance(event, DiscoveryRequest | DeltaDiscoveryRequest) else event
        alone, responses = step(alone, plain)
        for response in responses:
            nonces.next(response.type_url)
        assert described(sent) == described(responses)


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_streams_of_different_pasts_have_one_state_in_the_end(delta: bool) -> None:
    """One saw three steps before, the other none; nonces differ, and the state does not know them."""
    old, new = synced_client(service(), delta=delta), ScriptedClient(service(), delta=delta)
    for weight in (500, 1000):
        (routes,) = old.publish(service(canary=("v2", weight)))
        old.ack(routes, TABLE)
    request = new.subscribe if delta else new.request
    new.snapshots = old.snapshots
    new.event(old.snapshot)
    wanted: dict[str, tuple[str, ...]] = {CDS: (), EDS: ("fraud/v1", "fraud/v2"), LDS: (), RDS: (TABLE,)}
    for url, subscribed in wanted.items():
        for response in request(url, *subscribed):
            new.ack(response, *subscribed)
    (last,) = old.publish(service(canary=("v2", 2500)))
    (first,) = new.event(old.snapshot)
    assert last.nonce != first.nonce
    old.ack(last, TABLE)
    new.ack(first, TABLE)
    assert old.stream is new.stream


def test_a_response_is_serialised_once_and_the_nonce_is_appended() -> None:
    """The bytes are those of one message, in both kinds."""
    world, steps = SnapshotCache(), SharedSteps("haldane/test")
    world.update(view(1, service()))
    snapshot = world.snapshot("edge")
    assert snapshot
    for delta, kind in ((False, pb.DiscoveryResponseHead), (True, pb.DeltaDiscoveryResponseHead)):
        start = steps.step(StreamState(delta=delta), snapshot).stream
        request = DeltaDiscoveryRequest(CDS) if delta else DiscoveryRequest(CDS)
        taken = steps.step(start, request)
        assert steps.step(start, request) is taken
        (response,), (body,) = taken.responses, taken.bodies
        assert isinstance(response, DiscoveryResponse)
        assert body == (serialize_delta_response if delta else serialize_response)(response, "haldane/test")
        head = kind.FromString(body + nonce_field("17"))
        assert (head.nonce, head.type_url, head.control_plane.identifier) == ("17", CDS, "haldane/test")


def test_what_no_stream_needs_is_forgotten() -> None:
    """Two snapshots later nothing holds the first one."""
    world, steps = SnapshotCache(), SharedSteps("haldane/test")
    stream = StreamState(delta=False)
    held = []
    for revision in (1, 2, 3, 4):
        world.update(view(revision, service(canary=("v2", revision))))
        snapshot = world.snapshot("edge")
        assert snapshot
        held.append(weakref.ref(snapshot))
        steps.evict_unused()
        stream = steps.step(stream, snapshot).stream
    gc.collect()
    assert [each() is None for each in held] == [True, False, False, False]


def test_the_steps_of_a_crowd_that_differs_are_bounded() -> None:
    """No client can make the controller remember without limit."""
    steps = SharedSteps("haldane/test", limit=10)
    stream = StreamState(delta=False)
    for number in range(100):
        steps.step(stream, DiscoveryRequest(CDS, (f"n{number}",)))
    assert len(steps._steps) <= 20
    assert len(steps._states) <= 20


def test_responses_that_differ_are_bounded_by_their_bytes() -> None:
    """Every client may subscribe to something else."""
    world, steps = SnapshotCache(), SharedSteps("haldane/test", size=10_000)
    world.update(view(1, service()))
    snapshot = world.snapshot("edge")
    assert snapshot
    start = steps.step(StreamState(delta=False), snapshot).stream
    sizes = [sum(map(len, steps.step(start, DiscoveryRequest(CDS, ("*", str(n)))).bodies)) for n in range(100)]
    assert len(steps._steps) * min(sizes) <= 2 * (10_000 + max(sizes))


@pytest.mark.parametrize(
    "make",
    [
        lambda text: DiscoveryRequest(CDS, (text,)),
        lambda text: DiscoveryRequest(CDS, version_info=text),
        lambda text: DiscoveryRequest(CDS, error_detail=text),
        lambda text: DeltaDiscoveryRequest(CDS, subscribe=(text,)),
        lambda text: DeltaDiscoveryRequest(CDS, unsubscribe=(text,)),
        lambda text: DeltaDiscoveryRequest(CDS, initial_resource_versions=((text, ""),)),
        lambda text: DeltaDiscoveryRequest(CDS, initial_resource_versions=(("a", text),)),
    ],
)
def test_long_requests_that_differ_are_bounded_by_their_length(make: Callable[[str], Event]) -> None:
    """Wherever their text is: few long ones are remembered, and many short ones."""
    long, short = (SharedSteps("haldane/test", size=10_000) for _ in range(2))
    for number in range(100):
        for steps, length in ((long, 1000), (short, 10)):
            request = make(f"{number:0{length}}")
            steps.step(StreamState(delta=isinstance(request, DeltaDiscoveryRequest)), request)
    assert len(long._steps) <= 20
    assert len(short._steps) >= 50
