"""Whose fault it was that a response ended badly after its headers: by Envoy's response flags."""

from enum import StrEnum

from controller.core.traffic.reports import CounterKind

STATS_PREFIX = "haldane"
"""What the names of the counters begin with that Haldane adds to Envoy's own."""
REPORTED_OK = "reported_ok"
"""The counter of bad ends that load reports count as successes: those after the headers."""
UNREPORTED = "unreported"
"""The counter of bad ends that load reports do not count at all."""
FIRST_TOKEN = "ttft"  # noqa: S105
"""The histogram of the times to the first token."""
IDLE_FLAG = "SI"
DURATION_FLAGS = ("UT", "UMSDR", "DT")
"""The timeouts of a whole response."""


class BadEnd(StrEnum):
    """How a response ended that was not received whole."""

    BROKEN = "broken"
    """By the server, or by the proxy on its behalf: a failure of the version."""
    CANCELLED = "cancelled"
    """By its client, which may do so at any time: no failure of the version."""


FLAGS = {
    # HTTP/1: the connection was closed or sent garbage in the middle of a response.
    "UPE": BadEnd.BROKEN,
    # HTTP/2: the server reset the stream.
    "UR": BadEnd.BROKEN,
    # HTTP/2: the connection was closed with the response under way.
    "UC": BadEnd.BROKEN,
    # The connection was closed by Envoy itself, such as for a missed keep-alive.
    "LR": BadEnd.BROKEN,
    # The time for the whole response is over: by the route, the cluster or the connection manager.
    **dict.fromkeys(DURATION_FLAGS, BadEnd.BROKEN),
    # The response paused for longer than the idle timeout of its stream.
    IDLE_FLAG: BadEnd.BROKEN,
    # Envoy ran out of memory, and gave up its largest streams.
    "OM": BadEnd.BROKEN,
    # The client closed its connection.
    "DC": BadEnd.CANCELLED,
    # HTTP/2: the client reset the stream.
    "DR": BadEnd.CANCELLED,
    # The client broke the protocol.
    "DPE": BadEnd.CANCELLED,
}
"""Every flag that a response can have after its headers, without filters that Haldane does not
configure."""

BROKEN_FLAGS = tuple(flag for flag, end in FLAGS.items() if end is BadEnd.BROKEN)
CANCELLED_FLAGS = tuple(flag for flag, end in FLAGS.items() if end is BadEnd.CANCELLED)


def counter_kind(name: str, flags: str) -> CounterKind | None:
    """What a counter of that name counts; None if it counts nothing that Haldane reads."""
    end = bad_end(flags)
    if name == REPORTED_OK and end:
        return CounterKind.BROKEN if end is BadEnd.BROKEN else CounterKind.CANCELLED
    if name == UNREPORTED and end:
        return CounterKind.TIMED_OUT if end is BadEnd.BROKEN else CounterKind.ABANDONED
    return None


def bad_end(flags: str) -> BadEnd | None:
    """How a response with these flags, separated by commas, ended; None if none of them is known.

    The server's fault outweighs the client's: once a client has gone nothing that the server does
    is noted, so the server's fault came first.
    """
    ends = {FLAGS[flag] for flag in flags.split(",") if flag in FLAGS}
    return BadEnd.BROKEN if BadEnd.BROKEN in ends else next(iter(ends), None)
