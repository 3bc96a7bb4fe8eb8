"""Traces of decisions: which spans each has, which push and which ACKs are its own. Pure but for a clock."""

from dataclasses import dataclass, field
from itertools import pairwise

from controller.core.control.commands import Command, Verb, execute
from controller.core.control.decision import Decision
from controller.core.model.service_state import ServiceState
from controller.tracing.decision_traces import MAX_ACKS, MAX_OPEN, DecisionTraces, Span
from tests.fakes.clock import FakeClock
from tests.support.exposition import rolling

ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


@dataclass
class Sent:
    """A sink that keeps the spans of each trace."""

    traces: list[list[Span]] = field(default_factory=list)

    def begin(self, root: Span) -> int:
        self.traces.append([root])
        return len(self.traces) - 1

    def add(self, parent: int, span: Span) -> None:
        self.traces[parent].append(span)

    def names(self, trace: int = 0) -> list[str]:
        return [span.name for span in self.traces[trace]]


def state(name: str = "scorer", *fleets: str) -> ServiceState:
    """A service whose rollout of v2 has begun."""
    begun = rolling()
    return begun.model_copy(update={"spec": begun.spec.model_copy(update={"name": name, "fleets": fleets})})


def rollback(before: ServiceState) -> Decision:
    return execute(before, Command(Verb.ROLLBACK, "harm"), 0.0)


def traced() -> tuple[DecisionTraces, Sent, FakeClock]:
    sent, clock = Sent(), FakeClock()
    return DecisionTraces(sent, clock), sent, clock


def decide_at(traces: DecisionTraces, clock: FakeClock, before: ServiceState, revision: int) -> None:
    """A report, half a second later a tick of a tenth, and a commit that takes two tenths."""
    traces.reported([before.name])
    clock.advance(0.5)
    started = clock.monotonic()
    clock.advance(0.1)
    traces.decided(before, rollback(before), started)
    clock.advance(0.2)
    traces.committed(before.name, revision)


def test_a_decision_is_followed_from_the_report_to_the_ack() -> None:
    """Each span begins where the one before it ends, in Unix time; the root has who, what and why."""
    traces, sent, clock = traced()
    began = clock.wall()
    decide_at(traces, clock, state(), 7)
    with traces.pushing(7):
        clock.advance(0.01)
    clock.advance(0.04)
    traces.acked("envoy-1", "edge", ROUTES, 0.04)
    (spans,) = sent.traces
    assert [span.name for span in spans] == ["decision", "report", "tick", "commit", "push", "ack"]
    root, *steps = spans
    assert [round(span.end - span.start, 6) for span in steps] == [0.5, 0.1, 0.2, 0.01, 0.04]
    assert all(abs(before.end - after.start) < 1e-6 for before, after in pairwise(steps))
    assert (round(root.start - began, 6), round(root.end - began, 6)) == (0.0, 0.8)
    assert root.attributes["haldane.service"] == "scorer"
    assert root.attributes["haldane.decision"] == "rollback"
    assert root.attributes["haldane.revision"] == 7
    assert steps[-1].attributes == {"haldane.node": "envoy-1", "haldane.fleet": "edge"}


def test_a_commit_that_is_answered_after_its_push_has_that_push() -> None:
    """The view may come first."""
    traces, sent, clock = traced()
    before = state()
    traces.decided(before, rollback(before), clock.monotonic())
    with traces.pushing(6):
        pass
    with traces.pushing(8):
        clock.advance(0.01)
    traces.committed(before.name, 7)
    traces.acked("envoy-1", "edge", ROUTES, 0.0)
    assert sent.names() == ["decision", "tick", "commit", "push", "ack"]
    assert sent.traces[0][3].attributes == {"haldane.revision": 8}


def test_an_ack_is_of_the_push_that_it_answers_of_its_fleet_and_of_routes() -> None:
    """Neither of a later push, nor of another fleet's service, nor of clusters."""
    traces, sent, clock = traced()
    decide_at(traces, clock, state("scorer", "edge"), 1)
    with traces.pushing(1):
        clock.advance(0.01)
    clock.advance(1.0)
    decide_at(traces, clock, state("ranker", "mesh"), 2)
    with traces.pushing(2):
        clock.advance(0.01)
    traces.acked("a", "mesh", ROUTES, 0.0)
    traces.acked("b", "edge", ROUTES, 0.0)
    traces.acked("c", "edge", ROUTES.replace("route", "cluster").replace("RouteConfiguration", "Cluster"), 1.81)
    traces.acked("d", "edge", ROUTES, 1.815)
    assert [[s.attributes["haldane.node"] for s in spans if s.name == "ack"] for spans in sent.traces] == [["d"], ["a"]]


def test_a_decision_that_is_not_committed_says_why_and_has_no_push() -> None:
    """A freeze that came first, or a store that is lost."""
    traces, sent, clock = traced()
    before = state()
    traces.decided(before, rollback(before), clock.monotonic())
    traces.not_committed(before.name, "frozen by ada")
    with traces.pushing(9):
        pass
    assert sent.names() == ["decision", "tick", "commit"]
    assert [span.error for span in sent.traces[0]] == ["frozen by ada", "", "frozen by ada"]
    traces.committed(before.name, 9)
    assert len(sent.traces) == 1


def test_what_is_kept_and_sent_is_bounded() -> None:
    """Of a large fleet the first ACKs, and of decisions that are never pushed the newest."""
    traces, sent, clock = traced()
    for number in range(MAX_OPEN + 3):
        decide_at(traces, clock, state(), number)
    with traces.pushing(MAX_OPEN + 3):
        clock.advance(0.01)
    assert sum("push" in sent.names(trace) for trace in range(len(sent.traces))) == MAX_OPEN
    for number in range(MAX_ACKS + 1):
        traces.acked(f"envoy-{number}", "edge", ROUTES, 0.0)
    assert sent.names(len(sent.traces) - 1).count("ack") == MAX_ACKS
