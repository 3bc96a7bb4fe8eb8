"""Who is in sync, counted as streams change: always what a walk over every stream finds."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.core.model.service_state import ServiceState
from controller.xds.protocol.discovery import DeltaDiscoveryRequest, DiscoveryRequest, Event
from controller.xds.protocol.node import Node
from controller.xds.protocol.observed_stream import ObservedStream
from controller.xds.protocol.stream_state import StreamState
from controller.xds.protocol.sync_counts import SyncCounts
from controller.xds.resources.snapshot import Snapshot
from controller.xds.resources.snapshot_cache import SnapshotCache
from controller.xds.resources.type_urls import RDS
from tests.xds.numbered_stream import NumberedStream, SentResponse
from tests.xds.scripted_client import ScriptedClient, synced_client
from tests.xds.views import service, view
from tests.xds.walked_sync import acked_split, walked_sync

TABLE = "127.0.0.1:10000"
CONFIGURATIONS = (TABLE, "127.0.0.1:10001", "fraud/proxyless", "*")
NODES = ("edge-1", "edge-2")


def counted(*streams: ObservedStream) -> SyncCounts:
    """These streams, counted."""
    counts = SyncCounts()
    for each in streams:
        update(counts, each)
    return counts


def update(counts: SyncCounts, each: ObservedStream) -> None:
    """A stream is as it is now."""
    counts.update(id(each), each.node, each.stream.types.get(RDS), is_blind=each.is_blind)


def observed(client: ScriptedClient, node: str) -> ObservedStream:
    """The stream of a proxy of that name."""
    return ObservedStream(Node(node, "edge", "envoy"), client.stream, client.snapshot, 1.0, {})


def rolling(weight: int) -> ServiceState:
    """A service whose rollout runs."""
    return service(canary=("v2", weight))


def test_proxies_that_are_behind_are_named_until_they_ack_or_leave() -> None:
    """For the rollout's own words, in order. Of another fleet there are none."""
    clients = {name: synced_client(service()) for name in ("a", "c", "b")}
    steps = {name: client.publish(rolling(500))[0] for name, client in clients.items()}
    counts, newest = SyncCounts(), {"edge": clients["a"].snapshot}
    for name, client in clients.items():
        counts.update(name, Node(name, "edge", "envoy"), client.stream.types[RDS])
    assert counts.sync("fraud", newest).behind == ("a", "b", "c")
    clients["a"].ack(steps["a"], TABLE)
    counts.update("a", Node("a", "edge", "envoy"), clients["a"].stream.types[RDS])
    found = counts.sync("fraud", newest)
    assert (found.synced, found.total, found.behind) == (1, 3, ("b", "c"))
    counts.remove("b")
    assert counts.sync("fraud", newest).behind == ("c",)
    assert counts.sync("fraud", {"other": newest["edge"]}).total == 0
    for name in clients:
        counts.remove(name)
    assert (counts.sync("fraud", newest).total, list(counts.fleets)) == (0, [])


def test_an_excluded_proxy_is_not_waited_for() -> None:
    """Neither its missing ACK counts, nor its NACK; it is no proxy of the total."""
    clients = {name: synced_client(service()) for name in ("a", "b")}
    steps = {name: client.publish(rolling(500))[0] for name, client in clients.items()}
    clients["a"].nack(steps["a"], TABLE)
    clients["b"].ack(steps["b"], TABLE)
    counts, newest = SyncCounts(), {"edge": clients["a"].snapshot}
    for name, client in clients.items():
        counts.update(name, Node(name, "edge", "envoy"), client.stream.types[RDS])
    assert counts.sync("fraud", newest).nacked == ("a",)
    found = counts.sync("fraud", newest, frozenset("a"))
    assert (found.synced, found.total, found.nacked, found.behind) == (1, 1, (), ())
    assert counts.sync("fraud", newest).total == 2


@pytest.mark.parametrize("delta", [False, True], ids=["sotw", "delta"])
def test_proxies_that_are_behind_are_told_apart_by_the_split_that_they_acked(delta: bool) -> None:
    """By its name, the same at every proxy with that split; a change of another service alone is no
    other split."""
    other = service("idle", port=10001)
    here, old, older = (synced_client(rolling(weight), other, delta=delta) for weight in (2500, 1000, 500))
    old_too = synced_client(rolling(1000), service("idle", port=10001, canary=("v2", 500)), delta=delta)
    for client in (old, older, old_too):
        client.publish(rolling(2500), other)
    streams = [observed(client, node) for node, client in zip("abcd", (here, old, older, old_too), strict=True)]
    found = counted(*streams).sync("fraud", {"edge": here.snapshot})
    assert (found.behind, set(found.splits)) == (("b", "c", "d"), {"b", "c", "d"})
    assert found.splits["b"] == found.splits["d"] != found.splits["c"]


def test_proxies_that_cannot_report_broken_responses_are_named() -> None:
    """Those that have the service and serve listeners without the loggers; a proxyless client serves
    none. One that has them from now on is named no longer."""
    client, proxyless = synced_client(rolling(500)), ScriptedClient(rolling(500))
    proxyless.request(RDS, TABLE)
    blind = observed(client, "b")
    counts = counted(replace(observed(client, "a"), counts_endings=True), blind, observed(proxyless, "c"))
    found = counts.sync("fraud", {"edge": client.snapshot})
    assert (found.total, found.blind) == (3, ("b",))
    assert counts.sync("elsewhere", {"edge": client.snapshot}).blind == ()
    counts.update(id(blind), blind.node, blind.stream.types[RDS], is_blind=False)
    assert counts.sync("fraud", {"edge": client.snapshot}).blind == ()


def test_a_proxy_in_two_fleets_is_two_proxies() -> None:
    """A service that is in both waits for it in both."""
    client = synced_client(service())
    counts = SyncCounts()
    for fleet in ("edge", "core"):
        counts.update(fleet, Node("a", fleet, "envoy"), client.stream.types[RDS])
    client.publish(rolling(500))
    found = counts.sync("fraud", dict.fromkeys(("edge", "core"), client.snapshot))
    assert (found.synced, found.total, found.behind) == (0, 2, ("a",))


def test_equal_streams_are_one_group_however_many_there_are() -> None:
    """So a snapshot moves no stream, and a service is asked of groups; asked again, of nothing."""
    counts, client = SyncCounts(), synced_client(service())
    for number in range(500):
        counts.update(number, Node(f"edge-{number}", "edge", "envoy"), client.stream.types[RDS])
    client.publish(rolling(500))
    assert len(counts._fleets["edge"].groups) == 1
    found = counts.sync("fraud", {"edge": client.snapshot})
    assert (found.synced, found.total, len(found.behind)) == (0, 500, 500)
    assert counts.sync("fraud", {"edge": client.snapshot}) is found


class Stream:
    """One open stream in the test: its state, and the response that it has not answered."""

    def __init__(self, node: str, snapshot: Snapshot, *, delta: bool) -> None:
        self.node = Node(node, "edge", "envoy")
        self._stream = NumberedStream(delta=delta)
        self._stream.step(snapshot)
        self.pending: SentResponse | None = None
        self.names: tuple[str, ...] = ()

    @property
    def stream(self) -> StreamState:
        """Its state."""
        return self._stream.state

    def step(self, event: Event) -> list[SentResponse]:
        """The responses to an event."""
        return self._stream.step(event)


class Counting(RuleBasedStateMachine):
    """Streams of two proxies open, subscribe, ACK, NACK and end in any order, while weights are published."""

    def __init__(self) -> None:
        super().__init__()
        self.counts, self.world = SyncCounts(), SnapshotCache()
        self.streams: list[Stream] = []
        self.revision = 0
        self.publish(500, alone=True)

    @rule(weight=st.sampled_from([500, 1000]), alone=st.booleans())
    def publish(self, weight: int, alone: bool) -> None:
        """A view: not every stream has stepped to it yet."""
        self.revision += 1
        others = [] if alone else [service("idle", port=10001)]
        self.world.update(view(self.revision, rolling(weight), *others))

    @rule(node=st.sampled_from(NODES), delta=st.booleans(), name=st.sampled_from(CONFIGURATIONS))
    def open(self, node: str, delta: bool, name: str) -> None:
        """A stream opens with its first subscription."""
        stream = Stream(node, self.snapshot, delta=delta)
        self.streams.append(stream)
        self._request(stream, (name,))

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 99), names=st.sets(st.sampled_from(CONFIGURATIONS)))
    def subscribe(self, which: int, names: set[str]) -> None:
        """A stream asks for other names."""
        self._request(self._stream(which), tuple(sorted(names)))

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 99), error=st.sampled_from([None, "bad"]))
    def respond(self, which: int, error: str | None) -> None:
        """A stream ACKs or NACKs what it was sent."""
        stream = self._stream(which)
        if stream.pending:
            self._request(stream, stream.names, error)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 99))
    def step(self, which: int) -> None:
        """A stream is stepped to the newest snapshot."""
        self._event(self._stream(which), self.snapshot)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 99))
    def end(self, which: int) -> None:
        """A stream ends."""
        stream = self._stream(which)
        self.streams.remove(stream)
        self.counts.remove(stream)

    @invariant()
    def counts_what_a_walk_finds(self) -> None:
        for name in ("fraud", "idle"):
            found, walked = self.counts.sync(name, {"edge": self.snapshot}), walked_sync(self._observed(), name)
            assert replace(found, splits={}) == replace(walked, splits={})
            splits = {(each.node.id, acked_split(each, name)) for each in self._observed()}
            assert found.splits.keys() == walked.splits.keys()
            assert found.splits.items() <= splits

    @property
    def snapshot(self) -> Snapshot:
        found = self.world.snapshot("edge")
        assert found
        return found

    def _stream(self, which: int) -> Stream:
        return self.streams[which % len(self.streams)]

    def _observed(self) -> Iterator[ObservedStream]:
        for each in self.streams:
            yield ObservedStream(each.node, each.stream, self.snapshot, 0.0, {})

    def _request(self, stream: Stream, names: tuple[str, ...], error: str | None = None) -> None:
        nonce = stream.pending.nonce if stream.pending else ""
        if stream.stream.delta:
            gone = tuple(set(stream.names) - set(names))
            self._event(stream, DeltaDiscoveryRequest(RDS, names, gone, response_nonce=nonce, error_detail=error))
        else:
            self._event(stream, DiscoveryRequest(RDS, names, "", nonce, error))
        stream.names = names

    def _event(self, stream: Stream, event: Snapshot | DiscoveryRequest | DeltaDiscoveryRequest) -> None:
        responses = stream.step(event)
        routes = stream.stream.types[RDS]
        stream.pending = responses[-1] if responses else (stream.pending if routes.pending else None)
        self.counts.update(stream, stream.node, routes)


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
