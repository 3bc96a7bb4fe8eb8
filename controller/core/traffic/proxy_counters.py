"""The cumulative counters of one proxy, and how much they have risen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.core.traffic.reports import CounterKind, ProxyMetrics

NEWBORN = 2.0
"""Seconds of a proxy's age below which all that it has counted is new, also in the first message
from it."""


@dataclass(slots=True)
class ProxyCounters:
    """The counters of one proxy at its last message. Mutable. `now` is seconds on a monotonic
    clock."""

    uptime: float | None = None
    """The proxy's age in seconds."""
    newborn: bool = False
    """Whether its first message came right after its start."""
    known: frozenset[str] = frozenset()
    """The clusters whose counters have been read."""
    values: dict[tuple[str, CounterKind], int] = field(default_factory=dict)
    last_message: float = 0.0
    healthy: Mapping[str, int] = field(default_factory=dict)
    """By cluster: how many endpoints it may send to."""
    members: dict[str, int] = field(default_factory=dict)
    """By cluster: how many there are, as far as that has been read."""

    def on_message(self, metrics: ProxyMetrics, now: float) -> bool:
        """Note a message; whether a number of endpoints differs from the last one. A proxy younger than
        it was has restarted: all of its counters start from zero."""
        uptime = metrics.uptime
        known = self.members
        differs = metrics.healthy != self.healthy or any(known.get(n) != m for n, m in metrics.members.items())
        self.last_message, self.healthy = now, metrics.healthy
        self.members.update(metrics.members)
        if uptime is not None and self.uptime is not None and uptime < self.uptime:
            self.values = dict.fromkeys(self.values, 0)
        self.newborn = self.uptime is None and uptime is not None and uptime <= NEWBORN
        self.uptime = uptime if uptime is not None else self.uptime
        return differs

    def increment(self, counter: tuple[str, CounterKind], value: int) -> int:
        """How much a counter has risen since its last value.

        Counting starts at the first value, so that gives 0. But Envoy does not send a counter
        before its first use: one that appears late in a known cluster, or on a newborn proxy, was 0
        until then.
        """
        before = self.values.get(counter)
        if before is None:
            before = 0 if self.newborn or counter[0] in self.known else value
        self.values[counter] = value
        return value - before if value >= before else value

    def know(self, clusters: frozenset[str]) -> None:
        """The counters of these clusters have been read."""
        if not clusters <= self.known:
            self.known |= clusters

    def keep(self, clusters: frozenset[str]) -> None:
        """Forget all other clusters."""
        self.values = {counter: value for counter, value in self.values.items() if counter[0] in clusters}
        self.members = {name: count for name, count in self.members.items() if name in clusters}
        self.known &= clusters
