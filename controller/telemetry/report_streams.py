"""What load reports and metrics have in common: streams, their limits, and the checks of what a proxy sends.

Everything that a proxy sends is checked before any of it counts. An invalid message ends its stream with a status and
a reason; Envoy opens a new stream by itself.
"""

from collections import Counter
from dataclasses import dataclass, field

import grpc

from controller.core.base.text import is_printable
from controller.ports.report_admission import Reporter

MAX_STREAMS = 16_384
"""Streams of one kind at the same time."""
MAX_NODE_ID = 256
"""Characters of a node's id, and of its fleet."""
MAX_COUNT = 2**40
"""The greatest plausible count: a million requests a second for twelve days."""
MAX_BURST = 100
"""Messages of one stream within a second; Envoy sends ten at most."""


class InvalidReport(Exception):  # noqa: N818
    """Ends a report stream: the gRPC status, and a message for the operator of the proxy."""

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.code = code


def validate_reporter(reporter: Reporter) -> Reporter:
    """The reporter, if what it says of itself is fit for logs and as a key. Raises `InvalidReport`."""
    if not reporter.node:
        raise InvalidReport("node.id is missing: the first message of a stream must say who reports")
    for field_name, text in (("node.id", reporter.node), ("node.cluster", reporter.fleet)):
        if len(text) > MAX_NODE_ID or not is_printable(text):
            raise InvalidReport(f"{field_name} must be at most {MAX_NODE_ID} printable characters")
    return reporter


def validate_count(value: float, what: str) -> int:
    """The value, if it is a plausible count. Raises `InvalidReport`, which names it by `what`."""
    if not (0 <= value <= MAX_COUNT and value == int(value)):
        raise InvalidReport(f"{what} must be a whole number from 0 to {MAX_COUNT}, not {value:g}")
    return int(value)


@dataclass(slots=True, eq=False)
class ReportStream:
    """One open stream. `key` is unique among those that count, even if several proxies claim the same node id; it is
    empty until the reporter is known to be a proxy."""

    reporter: Reporter
    opened_at: float
    """Monotonic seconds."""
    key: str = ""
    messages: int = 0
    _second: int = 0
    _burst: int = 0

    def count_message(self, now: float) -> None:
        """Count a message that arrived `now` (monotonic seconds). Raises `InvalidReport` if there are too many."""
        self.messages += 1
        self._burst = self._burst + 1 if int(now) == self._second else 1
        self._second = int(now)
        if self._burst > MAX_BURST:
            message = f"more than {MAX_BURST} messages within a second"
            raise InvalidReport(message, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass(slots=True)
class OpenStreams:
    """The open streams of one kind."""

    _open: int = 0
    _keys: set[str] = field(default_factory=set)
    _nodes: Counter[str] = field(default_factory=Counter)
    _ambiguous: set[str] = field(default_factory=set)

    def open(self, reporter: Reporter, now: float) -> ReportStream:
        """A new stream of this reporter. Raises `InvalidReport` if there are too many."""
        if self._open >= MAX_STREAMS:
            raise InvalidReport(f"{MAX_STREAMS} proxies report already", grpc.StatusCode.RESOURCE_EXHAUSTED)
        self._open += 1
        return ReportStream(reporter, now)

    def name(self, stream: ReportStream) -> None:
        """The reporter is a proxy: give its stream a key, unless it has one. A stranger takes no proxy's key."""
        if stream.key:
            return
        node = stream.reporter.node
        self._nodes[node] += 1
        if self._nodes[node] > 1:
            self._ambiguous.add(node)
        keys = self._keys
        stream.key = next(k for n in range(len(keys) + 1) if (k := f"{node}#{n}" if n else node) not in keys)
        keys.add(stream.key)

    def close(self, stream: ReportStream) -> None:
        """The stream has ended."""
        self._open -= 1
        self.unname(stream)

    def unname(self, stream: ReportStream) -> None:
        """The reporter counts as a proxy no longer: take its stream's key back, if it has one."""
        if not stream.key:
            return
        node = stream.reporter.node
        self._keys.discard(stream.key)
        stream.key = ""
        self._nodes[node] -= 1
        if not self._nodes[node]:
            del self._nodes[node]
            self._ambiguous.discard(node)

    def is_ambiguous(self, stream: ReportStream) -> bool:
        """Whether another stream claims or claimed the same node id, so that the next one may be of any proxy."""
        return stream.reporter.node in self._ambiguous
