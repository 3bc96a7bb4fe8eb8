"""The trace of each decision: which spans it has, and which push and which ACKs belong to it.

    decision        from the report to the commit; the root
      report        from the last awaited report to the tick
      tick          what was found, and decided
      commit        until it is durable, with the wait for its turn
      push          handing the view to the proxies' streams
      ack           from the push to one proxy's ACK of its routes

A push is of every decision that is committed and was not pushed yet: views may skip revisions. An ACK belongs to the
push in which what it ACKs was published. Everything is bounded; what is beyond a bound is not traced.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from controller.core.control.decision import Decision
from controller.core.model.service_state import ServiceState
from controller.ports.clock import Clock

MAX_OPEN = 256
"""Decisions whose push or ACKs are awaited."""
MAX_PUSHES = 64
"""Pushes that are remembered, for decisions whose commit is answered after its push."""
MAX_ACKS = 64
"""ACKs of one decision: of a thousand proxies, the first."""
MAX_SERVICES = 10_000
ROUTES = "RouteConfiguration"
"""The resource type that a weight step changes."""

Attributes = Mapping[str, str | int | float | bool]


class Span(NamedTuple):
    """One step: its name, when it began and ended (Unix seconds), what is known of it, and what went wrong."""

    name: str
    start: float
    end: float
    attributes: Attributes
    error: str = ""


class SpanSink(Protocol):
    """Where spans go. No method raises or waits."""

    def begin(self, root: Span) -> Any:
        """Send the root of a trace. What is returned names it for `add`."""
        ...

    def add(self, parent: Any, span: Span) -> None:
        """Send a span below that root."""
        ...


class _Tick(NamedTuple):
    state: ServiceState
    decision: Decision
    reported: float | None
    started: float
    ended: float


class _Push(NamedTuple):
    revision: int
    start: float
    end: float


@dataclass
class _Open:
    """A decision that is committed."""

    parent: Any
    revision: int
    fleets: tuple[str, ...]
    push: _Push | None = None
    acks: int = 0


class DecisionTraces:
    """Implements `DecisionTracer` for the spans of a sink."""

    def __init__(self, sink: SpanSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._reported: OrderedDict[str, float] = OrderedDict()
        """Service -> when every awaited proxy had reported last."""
        self._ticks: dict[str, _Tick] = {}
        """The decisions whose commit is awaited, by service."""
        self._open: deque[_Open] = deque(maxlen=MAX_OPEN)
        self._pushes: deque[_Push] = deque(maxlen=MAX_PUSHES)

    def reported(self, services: Iterable[str]) -> None:
        """Every awaited proxy has reported on these services."""
        now = self._clock.monotonic()
        for service in services:
            self._reported.pop(service, None)
            self._reported[service] = now
        while len(self._reported) > MAX_SERVICES:
            self._reported.popitem(last=False)

    def decided(self, state: ServiceState, decision: Decision, started: float) -> None:
        """A tick that began at `started` has made this decision on that state. Its commit begins."""
        reported = self._reported.pop(state.name, None)
        self._ticks[state.name] = _Tick(state, decision, reported, started, self._clock.monotonic())

    def committed(self, service: str, revision: int) -> None:
        """The service's last decision is durable at that revision."""
        tick = self._ticks.pop(service, None)
        if tick is None:
            return
        fleets = tuple(tick.state.spec.fleets)
        found = _Open(self._send(tick, {"haldane.revision": revision}), revision, fleets)
        self._open.append(found)
        for push in self._pushes:
            if push.revision >= revision:
                self._send_push(found, push)
                break

    def not_committed(self, service: str, why: str) -> None:
        """The service's last decision was refused, or its outcome is unknown."""
        if tick := self._ticks.pop(service, None):
            self._send(tick, {}, why)

    @contextmanager
    def pushing(self, revision: int) -> Iterator[None]:
        """A view of that revision is handed to the proxies' streams inside the block."""
        start = self._clock.monotonic()
        yield
        push = _Push(revision, start, self._clock.monotonic())
        self._pushes.append(push)
        for found in self._open:
            if found.push is None and found.revision <= revision:
                self._send_push(found, push)

    def acked(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy ACKed what was published so many seconds ago."""
        if not type_url.endswith(ROUTES):
            return
        now = self._clock.monotonic()
        published = now - seconds
        for found in self._open:
            push = found.push
            if push is None or not push.start <= published <= push.end or found.acks == MAX_ACKS:
                continue
            if not found.fleets or fleet in found.fleets:
                found.acks += 1
                attributes = {"haldane.node": node, "haldane.fleet": fleet}
                self._sink.add(found.parent, self._span("ack", published, now, attributes))

    def _send(self, tick: _Tick, attributes: Attributes, error: str = "") -> Any:
        """Send the root of a trace and the spans up to its commit, which has just ended."""
        now = self._clock.monotonic()
        began = tick.started if tick.reported is None else min(tick.reported, tick.started)
        root = self._sink.begin(self._span("decision", began, now, {**_describe(tick), **attributes}, error))
        if tick.reported is not None:
            self._sink.add(root, self._span("report", began, tick.started, {}))
        self._sink.add(root, self._span("tick", tick.started, tick.ended, {}))
        self._sink.add(root, self._span("commit", tick.ended, now, attributes, error))
        return root

    def _send_push(self, found: _Open, push: _Push) -> None:
        found.push = push
        self._sink.add(found.parent, self._span("push", push.start, push.end, {"haldane.revision": push.revision}))

    def _span(self, name: str, start: float, end: float, attributes: Attributes, error: str = "") -> Span:
        """A span whose times are of the monotonic clock."""
        offset = self._clock.wall() - self._clock.monotonic()
        return Span(name, start + offset, end + offset, attributes, error)


def _describe(tick: _Tick) -> Attributes:
    """What is known of a decision."""
    decision, rollout = tick.decision, tick.decision.state.rollout
    known: dict[str, str | int | float | bool] = {
        "haldane.service": tick.state.name,
        "haldane.decision": str(decision.kind),
        "haldane.reason": decision.reason,
    }
    if rollout:
        known |= {
            "haldane.rollout": rollout.id,
            "haldane.phase": str(rollout.phase),
            "haldane.canary": rollout.canary,
            "haldane.weight": rollout.weight / 10_000,
        }
    return known
