"""Bytes into the parser, requests into the stream: whatever comes, nothing but a typed refusal comes out."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.xds.limits import DEFAULT
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, SettleTimeout
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.stream_error import StreamError
from controller.xds.wire import parse_delta_request, parse_request
from tests.xds.fuzz_examples import EXAMPLES
from tests.xds.numbered_stream import NumberedStream
from tests.xds.views import STORE, service, view

TYPES = st.sampled_from([CDS, EDS, LDS, RDS, "type.googleapis.com/no.Such", ""])
NAMES = st.lists(
    st.sampled_from(["*", "", "a", "a/v1", "a/v2", "b/v1", "127.0.0.1:10000", "127.0.0.1:10001", "nobody"]), max_size=5
)
VERSIONS = st.sampled_from(["", "1", f"{STORE}.{1:016d}-{'0' * 16}", f"{STORE}.{10**15}-{'f' * 16}", "x.y-z", "\x00"])
NONCES = st.sampled_from(["", "1", "2", "3", "4", "5", "never"])
ERRORS = st.sampled_from([None, None, "", "bad", "bad a/v1", "a"])


def snapshots() -> list[Snapshot]:
    """Worlds that follow one another."""
    snapshots, found = SnapshotCache(), []
    forms = [
        [],
        [service("a")],
        [service("a", canary=("v2", 500)), service("b", port=10001)],
        [service("a", hosts=("a.example",)), service("b", hosts=("b.example",), protocol="grpc")],
        [service("a", versions={"v1": ["host.internal:1"]})],
    ]
    for revision, states in enumerate(forms, 1):
        snapshots.update(view(revision, *states))
        snapshot = snapshots.snapshot("")
        assert snapshot
        found.append(snapshot)
    return found


SNAPSHOTS = st.sampled_from(snapshots())
REQUESTS = st.builds(DiscoveryRequest, TYPES, NAMES.map(tuple), VERSIONS, NONCES, ERRORS)
DELTA_REQUESTS = st.builds(
    DeltaDiscoveryRequest,
    TYPES,
    NAMES.map(tuple),
    NAMES.map(tuple),
    st.lists(st.tuples(st.sampled_from(["a/v1", "b/v1", "x"]), VERSIONS), max_size=3).map(tuple),
    NONCES,
    ERRORS,
)


@pytest.mark.proves("xds-rule 30")
@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
@given(data=st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_any_requests_and_snapshots_in_any_order_are_taken(delta: bool, data: st.DataObject) -> None:
    """The stream never raises, never has two responses of a type outstanding, never sends a name twice in one."""
    stream, nonces = NumberedStream(delta=delta), set[str]()
    requests = DELTA_REQUESTS if delta else REQUESTS
    for event in data.draw(st.lists(st.one_of(requests, requests, SNAPSHOTS, st.just(SettleTimeout())), max_size=30)):
        waiting = {url for url, state in stream.state.types.items() if state.pending}
        responses = stream.step(event)
        answered = {event.type_url} if isinstance(event, DiscoveryRequest | DeltaDiscoveryRequest) else set()
        for response in responses:
            assert response.type_url not in waiting - answered
            names = [resource.name for resource in response.resources]
            assert len(names) == len(set(names))
            assert not set(names) & set(response.removed_resources)
            assert all(resource.packed for resource in response.resources)
        sent = [response.type_url for response in responses]
        assert len(sent) == len(set(sent))
        assert len({response.nonce for response in responses} - nonces) == len(responses)
        nonces |= {response.nonce for response in responses}


@given(data=st.binary(max_size=200))
@settings(deadline=None, max_examples=EXAMPLES * 5)
def test_any_bytes_are_a_request_or_an_error(data: bytes) -> None:
    """The parser's only error is its own."""
    for read in (parse_request, parse_delta_request):
        with contextlib.suppress(StreamError):
            read(data, CDS, DEFAULT)


@given(data=st.data())
@settings(deadline=None, max_examples=EXAMPLES * 2)
def test_a_corrupted_request_is_a_request_or_an_error(data: st.DataObject) -> None:
    """Real messages with some bytes changed, cut or repeated: closer to the parser's edges than noise."""
    fields: dict[str, Any] = {"type_url": CDS, "response_nonce": "1", "version_info": "v"}
    good = pb.DiscoveryRequest(node=pb.Node(id="edge-1", cluster="edge"), resource_names=["a", "b"], **fields)
    good.error_detail.message = "bad"
    bent = bytearray(good.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(bent) - 1)))
        match data.draw(st.sampled_from(["change", "cut", "repeat"])):
            case "change" if bent:
                bent[place] = data.draw(st.integers(0, 255))
            case "cut":
                del bent[place:]
            case _:
                bent[place:place] = bent[place : place + data.draw(st.integers(0, 20))]
    for read in (parse_request, parse_delta_request):
        with contextlib.suppress(StreamError):
            read(bytes(bent), "", DEFAULT)
