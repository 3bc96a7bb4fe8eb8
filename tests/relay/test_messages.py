"""Batches and updates as messages: what comes back is what went out, and nothing else is taken."""

from collections.abc import Callable

import pytest

from controller.core.control.sync import Sync
from controller.core.traffic.latency_buckets import BUCKETS
from controller.core.traffic.report_batch import Health, ProxyReport, ReportBatch, Split
from controller.core.traffic.reports import IDLE, ClusterLoad, CounterKind
from controller.pb.haldane.relay.v1 import relay_pb2 as pb
from controller.ports.edges import EdgeUpdate, ServiceSync
from controller.ports.fleet import ConfigState, Nack, ProxyStatus, RolloutWait, TypeStatus
from controller.relay.batch_messages import InvalidUpdate, batch_message, read_batch
from controller.relay.edge_messages import edge_message, read_edge

V1, V2, V3 = "scorer/v1", "scorer/v2", "scorer/v3/mirror"
REPORT = ProxyReport(
    {V1: ClusterLoad(10, 8, 2, 3), V2: IDLE},
    0.2,
    {(V1, kind): number for number, kind in enumerate(CounterKind, 1)},
    {V1: {0: 1, 141: 5}},
    {V2: {7: 2}},
    flushed=True,
    health=Health({V1: 2, V3: 0}, {V1: 2, V3: 4}),
)
BATCH = ReportBatch(
    7, {"p": REPORT, "q#1": ProxyReport(ended=True)}, {"scorer": Split("v2=500 v1=9500", {"p": "0f3a"})}
)
PROXY = ProxyStatus(
    "p",
    "edge",
    "envoy 1.40",
    12.5,
    (TypeStatus("type/RDS", ConfigState.ERROR, "w", "a", 11.0, "no"),),
    ConfigState.ERROR,
    (RolloutWait("scorer", "NACK", 3.0),),
    Nack("type/RDS", 4.0, "no"),
    is_blind=True,
    excluded="broken",
    requests=5,
    failed=2,
)
UPDATE = EdgeUpdate(
    (PROXY,), (("gone", "edge"),), {"scorer": ServiceSync(9, Sync(1, 3, ("p",), ("p", "q"), blind=("p",)))}, True
)


def test_what_comes_back_is_what_went_out() -> None:
    """Both kinds, with everything that they can hold."""
    assert read_batch(pb.Batch.FromString(batch_message(BATCH).SerializeToString())) == BATCH
    assert read_edge(pb.Edge.FromString(edge_message(UPDATE).SerializeToString())) == UPDATE


def test_a_counter_of_a_newer_controller_is_left_out() -> None:
    """Versions work side by side."""
    message = batch_message(BATCH)
    message.reports[0].counters.extend((0, 99, 5))
    assert read_batch(message) == BATCH


WRONG: dict[str, Callable[[pb.Batch], object]] = {
    "a batch's number": lambda b: setattr(b, "number", 0),
    "at most 100000 clusters": lambda b: b.clusters.extend(["x/y"] * 100_001),
    "the name of a cluster": lambda b: b.clusters.append("a\nb"),
    "the name of a proxy": lambda b: setattr(b.reports[0], "proxy", "x" * 513),
    "numbers of others": lambda b: b.reports[0].idle.append(99),
    "5 at a time": lambda b: b.reports[0].loads.append(1),
    "3 at a time": lambda b: b.reports[0].counters.append(1),
    "counts are at most": lambda b: b.reports[0].loads.extend((0, 2**63, 0, 0, 0)),
    "rises by at most": lambda b: b.reports[0].counters.extend((0, 1, 2**63)),
    f"{BUCKETS} buckets": lambda b: b.reports[0].latency[0].counts.extend((BUCKETS, 1)),
    "at most 1099511627776 in each": lambda b: b.reports[0].latency[0].counts.extend((1, 2**63)),
    "every 60 s": lambda b: setattr(b.reports[0], "interval_ms", 60_001),
    "the name of a split": lambda b: setattr(b.splits[0], "decided", ""),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_batch_that_no_controller_sends_is_refused_whole(reason: str) -> None:
    """With what is wrong with it."""
    message = batch_message(BATCH)
    WRONG[reason](message)
    with pytest.raises(InvalidUpdate, match=reason):
        read_batch(message)


WRONG_EDGES: dict[str, Callable[[pb.Edge], object]] = {
    "the name of a proxy": lambda e: setattr(e.proxies[0], "node", ""),
    "the state of a proxy": lambda e: setattr(e.proxies[0], "state", "GOOD"),
    "a text has at most": lambda e: setattr(e.proxies[0].refused, "error", "x" * 4097),
    "the name of a service": lambda e: setattr(e.syncs[0], "service", "\x1b[2J"),
    "cannot be in sync": lambda e: setattr(e.syncs[0], "synced", 4),
    "at most 20000 proxies": lambda e: e.gone.extend([pb.Node()] * 20_001),
}


@pytest.mark.parametrize("reason", WRONG_EDGES)
def test_an_update_that_no_controller_sends_is_refused_whole(reason: str) -> None:
    """Likewise."""
    message = edge_message(UPDATE)
    WRONG_EDGES[reason](message)
    with pytest.raises(InvalidUpdate, match=reason):
        read_edge(message)
