"""Reports of clusters whose reporter has yet to acknowledge them: kept until it does, then counted.

A proxy reports as soon as it has a cluster, perhaps before its ACK has arrived; after a restart of the controller its
reports may arrive before its xDS stream does. Nothing of them may be lost, and nothing may count before.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from controller.core.traffic.reports import IDLE, ClusterLoad, CounterKind, ProxyMetrics

_NONE: frozenset[str] = frozenset()


@lru_cache(maxsize=256)
def not_admitted(read: frozenset[str], admitted: frozenset[str]) -> frozenset[str]:
    """The clusters that were read and are not admitted: one object for all proxies of a kind."""
    return read - admitted


@dataclass(slots=True)
class HeldLoads:
    """The load of one reporter that does not count yet, added up by cluster. Mutable."""

    _held: dict[str, ClusterLoad] = field(default_factory=dict)

    def admit(
        self, loads: Mapping[str, ClusterLoad], observed: Collection[str], admitted: Collection[str]
    ) -> Mapping[str, ClusterLoad]:
        """What counts now of a report: the load of the admitted clusters, with what was held of them.

        That of the other `observed` clusters is held; nothing else matters to anyone.
        """
        waiting = [name for name in loads if name not in admitted and name in observed]
        if not waiting and not self._held:
            return loads
        for name in waiting:
            self._held[name] = self._held.get(name, IDLE).plus(loads[name])
        counting = {name: load for name, load in loads.items() if name in admitted}
        for name in self._held.keys() & counting.keys():
            counting[name] = self._held.pop(name).plus(counting[name])
        return counting

    def discard(self) -> None:
        """Forget what is held."""
        self._held.clear()

    @property
    def has_requests(self) -> bool:
        """Whether any request is held."""
        return any(load.started or load.ok or load.errors for load in self._held.values())


@dataclass(slots=True)
class HeldMetrics:
    """The first counters of each cluster of one reporter that do not count yet. Mutable.

    Counters are cumulative: with their first values nothing of what follows is lost. Latencies of the time before are.
    """

    _clusters: frozenset[str] = _NONE
    """Those that were read, and did not count."""
    _counters: dict[tuple[str, CounterKind], int] = field(default_factory=dict)
    _uptime: float | None = None
    """The reporter's age at its first flush."""
    _begun: bool = False
    """Whether any flush has counted."""

    def admit(
        self, metrics: ProxyMetrics, observed: frozenset[str], admitted: frozenset[str]
    ) -> Iterator[ProxyMetrics]:
        """What counts now of a flush, in this order: the first counters of clusters that were held, then its own."""
        read = not_admitted(observed if metrics.clusters is None else metrics.clusters, admitted)
        if not self._begun and self._uptime is None:
            self._uptime = metrics.uptime
        ready = self._clusters & admitted
        if ready:
            # Held values must not seem to be of an older process than what has counted: that would be a restart.
            uptime = None if self._begun else self._uptime
            counters = {key: self._counters.pop(key) for key in [k for k in self._counters if k[0] in ready]}
            self._clusters -= ready
            self._begun = True
            yield ProxyMetrics(uptime, counters, clusters=ready)
        if not read <= self._clusters:
            self._hold(metrics, read - self._clusters)
        if admitted:
            self._begun = True
            waiting = not_admitted(observed, admitted)
            yield without_clusters(metrics, waiting) if waiting else metrics

    def discard(self) -> None:
        """Forget what is held: what counts later begins with the flush after that."""
        self._clusters, self._uptime, self._begun = _NONE, None, True
        self._counters.clear()

    def _hold(self, metrics: ProxyMetrics, clusters: frozenset[str]) -> None:
        self._clusters |= clusters
        self._counters.update((key, value) for key, value in metrics.counters.items() if key[0] in clusters)


def without_clusters(metrics: ProxyMetrics, clusters: frozenset[str]) -> ProxyMetrics:
    """The metrics without what they say of these clusters."""
    return replace(
        metrics,
        counters={key: value for key, value in metrics.counters.items() if key[0] not in clusters},
        latency={name: counts for name, counts in metrics.latency.items() if name not in clusters},
        ttft={name: counts for name, counts in metrics.ttft.items() if name not in clusters},
        healthy={name: count for name, count in metrics.healthy.items() if name not in clusters},
        members={name: count for name, count in metrics.members.items() if name not in clusters},
        clusters=None if metrics.clusters is None else metrics.clusters - clusters,
    )
