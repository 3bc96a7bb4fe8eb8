"""What both kinds of report streams have in common: who reports, and what is refused.

Everything a proxy says is checked before any of it counts. A bad message ends its stream with a status that says why;
Envoy opens a new one by itself.
"""

from collections import Counter
from dataclasses import dataclass, field

import grpc

MAX_STREAMS = 4096
"""Streams of one kind at the same time."""
MAX_NODE_ID = 256
"""Characters of a node's id."""
MAX_COUNT = 2**40
"""The greatest believable count: a million requests a second for twelve days."""
MAX_BURST = 100
"""Messages of one stream within a second; Envoy sends ten at the very most."""


class InvalidReport(Exception):  # noqa: N818
    """This stream ends here, with this status and these words for whoever runs the proxy."""

    def __init__(self, words: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(words)
        self.code = code


def validate_node(node: str) -> str:
    """A node's id, fit for logs and as a key."""
    if not node:
        raise InvalidReport("node.id is missing: the first message of a stream must say who reports")
    if len(node) > MAX_NODE_ID or not node.isprintable():
        raise InvalidReport(f"node.id must be at most {MAX_NODE_ID} printable characters")
    return node


def validate_count(value: float, what: str) -> int:
    """A count; `what` names it in the refusal."""
    if not (0 <= value <= MAX_COUNT and value == int(value)):
        raise InvalidReport(f"{what} must be a whole number from 0 to {MAX_COUNT}, not {value:g}")
    return int(value)


@dataclass(slots=True)
class ReportStream:
    """One open stream. `key` is unique among the open ones, also where several proxies claim the same node id."""

    node: str
    key: str
    opened: float
    messages: int = 0
    _second: int = 0
    _burst: int = 0

    def count(self, now: float) -> None:
        """One more message arrived."""
        self.messages += 1
        self._burst = self._burst + 1 if int(now) == self._second else 1
        self._second = int(now)
        if self._burst > MAX_BURST:
            words = f"more than {MAX_BURST} messages within a second"
            raise InvalidReport(words, grpc.StatusCode.RESOURCE_EXHAUSTED)


@dataclass(slots=True)
class OpenStreams:
    """The open streams of one kind."""

    _open: set[str] = field(default_factory=set)
    _nodes: Counter[str] = field(default_factory=Counter)
    _shared: set[str] = field(default_factory=set)

    def enter(self, node: str, now: float) -> ReportStream:
        """A stream of this node opens."""
        if len(self._open) >= MAX_STREAMS:
            raise InvalidReport(f"{MAX_STREAMS} proxies report already", grpc.StatusCode.RESOURCE_EXHAUSTED)
        self._nodes[node] += 1
        if self._nodes[node] > 1:
            self._shared.add(node)
        key = next(k for n in range(len(self._open) + 1) if (k := f"{node}#{n}" if n else node) not in self._open)
        self._open.add(key)
        return ReportStream(node, key, now)

    def leave(self, stream: ReportStream) -> None:
        """It has ended."""
        self._open.discard(stream.key)
        self._nodes[stream.node] -= 1
        if not self._nodes[stream.node]:
            del self._nodes[stream.node]
            self._shared.discard(stream.node)

    def shared(self, stream: ReportStream) -> bool:
        """Whether its node id is or was claimed by another stream too, so that the next one may be anybody's."""
        return stream.node in self._shared
