"""The log lines of requests that a door denies: whoever may do nothing must not be able to fill the log either."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

WINDOW = 60.0
"""Seconds in which each peer has `LINES`."""
LINES = 10
PEERS = 100
"""Peers with lines of their own. All others share those of one."""
OTHERS = "others"

log = structlog.get_logger()


@dataclass(slots=True)
class _Peer:
    ends: float
    """When its window ends, on the monotonic clock."""
    lines: int = 0
    left_out: int = 0
    """Denials without a line, since its last line."""


class DenialLog:
    """Logs the denials of one door: at most `LINES` in a `WINDOW` for each of `PEERS` peers.

    A line says how many were left out before it. `haldane_denied_total` counts them all.
    """

    def __init__(self, door: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._door = door
        self._monotonic = monotonic
        self._peers: dict[str, _Peer] = {}

    def write(self, peer: str, **facts: object) -> None:
        """Log a denial, unless that peer has had its lines."""
        now = self._monotonic()
        entry = self._peer(peer, now)
        if now >= entry.ends:
            entry.ends, entry.lines = now + WINDOW, 0
        if entry.lines == LINES:
            entry.left_out += 1
            return
        more = {"left_out": entry.left_out} if entry.left_out else {}
        log.warning("denied", door=self._door, peer=peer, **facts, **more)
        entry.lines, entry.left_out = entry.lines + 1, 0

    def _peer(self, peer: str, now: float) -> _Peer:
        if peer not in self._peers and len(self._peers) >= PEERS:
            self._peers = {name: each for name, each in self._peers.items() if each.ends > now}
            if len(self._peers) >= PEERS:
                peer = OTHERS
        return self._peers.setdefault(peer, _Peer(now + WINDOW))
