"""What the proxies of one controller have reported, in numbered batches: so it is passed on to the one that decides.

Everything counted is an increment, so the sums over proxies, controllers and batches depend on no order. Increments of
Envoy's cumulative counters are found where they arrive, by the controller that has the values before: they mean nothing
to one that has not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from controller.core.traffic.reports import ClusterLoad, CounterKind

Counters = dict[tuple[str, CounterKind], int]
Histograms = dict[str, dict[int, int]]
"""Cluster -> bucket -> responses in it."""


class Health(NamedTuple):
    """By cluster: how many endpoints a proxy may send to, and how many there are."""

    healthy: Mapping[str, int]
    members: Mapping[str, int]


class Split(NamedTuple):
    """How a service's requests are split at the proxies of a controller, by name: the split that it serves itself,
    and those of the proxies that have not ACKed that."""

    decided: str
    lagging: Mapping[str, str]


@dataclass(slots=True)
class ProxyReport:
    """What one proxy has reported in one batch: sums of its reports. Mutable until its batch is closed."""

    loads: dict[str, ClusterLoad] = field(default_factory=dict)
    """By cluster that a load report has named, idle ones too."""
    interval: float = 0.0
    """Seconds in which it promises its next load report; 0 without a load report."""
    counters: Counters = field(default_factory=dict)
    """By how much they have risen."""
    latency: Histograms = field(default_factory=dict)
    ttft: Histograms = field(default_factory=dict)
    flushed: bool = False
    """Whether metrics have arrived."""
    health: Health | None = None
    """None where it is as before."""
    ended: bool = False
    """Whether its load reports have ended."""

    @property
    def size(self) -> int:
        """How much there is of it: clusters and counts."""
        return len(self.loads) + len(self.counters) + sum(map(len, (*self.latency.values(), *self.ttft.values())))


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """What the proxies of one controller have reported since the batch before. By proxy; its number is one more than
    that of the batch before. `splits` are those of the services that had requests."""

    number: int
    reports: Mapping[str, ProxyReport]
    splits: Mapping[str, Split] = field(default_factory=dict)
