"""The book of all proxies' reports: windows for the judge, and rates for people.

It has two sources, both pushed by Envoy. Load reports count every request that was sent to an
endpoint of a version, since the report before: sent, succeeded, failed (5xx, reset, timeout,
refused connection). The metrics carry what load reports cannot: latency, the 4xx and the broken
responses among the successes, the requests that found no endpoint, and who gave up.

Counters in the metrics are cumulative: the difference to the last value counts, so a lost message
loses nothing. A counter that falls, or an uptime that does, belongs to a restarted proxy and starts
from zero.

Only requests that the weights sent where they went are judged, and in a shadow step the copies that the canary gets:
see `Role`. Others are counted apart.

Nothing here reads a clock: `now` is seconds on a monotonic one. Sums over proxies do not depend on
any order.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType

from controller.core.model.cluster_names import ClusterId, Role, cluster_name, cluster_parts
from controller.core.traffic.awaited_reports import AwaitedReports
from controller.core.traffic.cluster_counts import DECIDED, ClusterCounts
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.latency_buckets import BucketCounts
from controller.core.traffic.proxy_counters import ProxyCounters
from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics, Traffic
from controller.core.traffic.window import Sample, Stratum, Window

FRESH = 10.0
"""Seconds for which a proxy's count of healthy endpoints is believed."""
RECOUNTED = 2.0
"""Seconds after which healthy endpoints are counted again although no report has changed: a proxy
may have fallen silent."""
MAX_PROXIES = 16_384
"""Proxies whose counters are remembered; beyond it the one that has been silent longest is
forgotten."""

_NO_SPLITS: Mapping[str, str] = MappingProxyType({})
_NO_OWN: Mapping[str, str] = MappingProxyType({})


class Book:
    """The sums of all proxies. Mutable, without I/O; bounded by the observed clusters and the
    proxies that report.

    Only observed clusters cost anything: reports on others are ignored.
    """

    def __init__(self) -> None:
        self.observed: frozenset[str] = frozenset()
        """The names of the observed clusters; a new set each time that they, or `own`, change."""
        self.own: Mapping[str, str] = {}
        """The clusters of operators' own, by their names in Envoy, and by what name each is observed."""
        self._names: dict[str, dict[str, ClusterId]] = {}
        """The observed clusters of each service."""
        self._clusters: dict[str, ClusterCounts] = {}
        self._by_service: dict[str, list[ClusterCounts]] = {}
        self._services: dict[str, AwaitedReports] = {}
        self._versions: dict[str, list[str]] = {}
        """The live clusters of each service that are observed."""
        self._health: dict[str, tuple[float, EndpointHealth | None]] = {}
        """By cluster: when its endpoints were counted last, and the result. Forgotten when a number
        changes, so that ticks do not walk all proxies."""
        self._empty: Set[str] = frozenset()
        self._unread: Set[str] = frozenset()
        self._proxies: OrderedDict[str, ProxyCounters] = OrderedDict()
        self._lagging: dict[str, Mapping[str, str]] = {}
        """Service -> proxy -> the split that it serves, if it is another one than the decided one."""

    def track_clusters(self, clusters: Iterable[str], own: Mapping[str, str] = _NO_OWN) -> None:
        """Count these clusters from now on, and no others; `own` has those that Envoy has another name for."""
        names = frozenset([*clusters])
        if self.observed == names and self.own == own:
            return
        added = {name: parts for name in names - self.observed if (parts := cluster_parts(name))}
        gone = self.observed - names
        self.own, self.observed = dict(own), (self.observed & names).union(added)
        self._health.clear()
        for name, parts in added.items():
            self._names.setdefault(parts.service, {})[name] = parts
        services = {parts.service for parts in added.values()} | {self._clusters[name].service for name in gone}
        for name in gone:
            del self._names[self._clusters[name].service][name]
        for service in services:
            self._track_service(service, self._names[service])
        for name in gone:
            del self._clusters[name]
        self._lagging = {name: proxies for name, proxies in self._lagging.items() if name in self._services}
        for counters in self._proxies.values() if gone else ():
            counters.keep(self.observed)

    def _track_service(self, service: str, clusters: Mapping[str, ClusterId]) -> None:
        """Count these clusters of a service from now on, by name; what was counted of them stays."""
        if not clusters:
            for known in (self._names, self._by_service, self._versions, self._services):
                known.pop(service, None)
            return
        counts = {name: self._clusters.get(name) or ClusterCounts(*parts) for name, parts in clusters.items()}
        counted = {name: counts[_counted_in(parts)] for name, parts in clusters.items()}
        self._clusters |= counted
        self._by_service[service] = list({id(each): each for each in counted.values()}.values())
        self._versions[service] = [name for name, parts in clusters.items() if parts.role is Role.LIVE]
        self._services.setdefault(service, AwaitedReports())

    def track_sources(self, empty: Set[str], unread: Set[str]) -> None:
        """From now on the clusters in `empty` are known to have no endpoint, before a proxy says so, and those in
        `unread` are not known to have one unless a proxy says so."""
        if (empty, unread) != (self._empty, self._unread):
            self._empty, self._unread = empty, unread
            self._health.clear()

    def on_load_report(
        self,
        proxy: str,
        loads: Mapping[str, ClusterLoad],
        interval: float,
        now: float,
        splits: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Add a proxy's load report, by the names by which clusters are observed; it promises the next one in
        `interval` seconds.

        `splits` says of services which split the proxy serves, where that is another one than the decided one; without
        it, `set_lagging` does. Returns the services whose windows are complete now.
        """
        services = set()
        for name, load in loads.items():
            if cluster := self._clusters.get(name):
                cluster.add_load(self._group(proxy, cluster.service, splits), proxy, load, now)
                if cluster.role is Role.LIVE:
                    services.add(cluster.service)
        for service in services:
            self._services[service].on_report(proxy, interval, now)
        return [service for service in services if self._services[service].is_complete(now)]

    def on_metrics(self, proxy: str, metrics: ProxyMetrics, now: float) -> Mapping[tuple[str, CounterKind], int]:
        """Add one flush of a proxy's metrics. Returns by how much its counters of observed clusters have risen."""
        counters = self._note_message(proxy, metrics, now)
        increments = {
            key: risen
            for key, value in metrics.counters.items()
            if key[0] in self._clusters and (risen := counters.increment(key, value))
        }
        self._add_metrics(proxy, increments, metrics, now)
        counters.know(self.observed if metrics.clusters is None else metrics.clusters)
        return increments

    def on_increments(
        self,
        proxy: str,
        increments: Mapping[tuple[str, CounterKind], int],
        metrics: ProxyMetrics,
        now: float,
        splits: Mapping[str, str],
    ) -> None:
        """Add a flush of metrics whose counters another book has compared with the ones before: `increments`. The
        counters of `metrics` are not read. `splits` as in `on_load_report`."""
        self._note_message(proxy, metrics, now)
        self._add_metrics(proxy, increments, metrics, now, splits)

    def on_load_reports_end(self, proxy: str) -> None:
        """A proxy's load reports have ended: it is not waited for. Its counters are remembered for
        its return."""
        for pacing in self._services.values():
            pacing.on_leave(proxy)
        for cluster in self._clusters.values():
            cluster.on_proxy_end(proxy)

    def on_metrics_end(self, proxy: str, *, ambiguous: bool) -> None:
        """A proxy's metrics have ended. Its counters are remembered for its return, unless they may be another's."""
        if ambiguous:
            self.forget_counters(proxy)

    def complete_windows(self, now: float) -> list[str]:
        """The services whose windows can be closed."""
        return [service for service, pacing in self._services.items() if pacing.is_complete(now)]

    def set_lagging(self, service: str, splits: Mapping[str, str]) -> None:
        """From now on these proxies' reports on the service are told apart by the name of the split
        that each serves: it is another one than the decided one."""
        self._lagging[service] = splits

    def forget_counters(self, proxy: str) -> None:
        """Forget a proxy's counters: they mean nothing for the next proxy of that name."""
        self._proxies.pop(proxy, None)
        self._health.clear()

    def healthy(self, proxy: str) -> Mapping[str, int]:
        """By cluster: how many endpoints that proxy may send to, by its newest message."""
        known = self._proxies.get(proxy)
        return known.healthy if known else {}

    def take_window(
        self, service: str, stable: str, canary: str, weight: int, now: float, role: Role = Role.LIVE
    ) -> Window | None:
        """Close the window and return what happened in it; None while some proxy's report is
        still awaited.

        When a window closes depends on which proxies have reported, never on what they reported:
        all that have this service and have not fallen silent. A side is None if none of them has
        the version. `weight`, in basis points, is written into the window; the canary's requests are
        those of that `role`. Proxies that lag are strata of their own, one for each split.
        """
        pacing = self._services.get(service)
        if pacing is None or not pacing.is_complete(now):
            return None
        pacing.close_window()
        stable_samples, canary_samples = self._take_samples(service, stable), self._take_samples(service, canary, role)
        groups = sorted(stable_samples.keys() | canary_samples.keys())
        if len(groups) == 1:  # as nearly always
            return Window(now, weight, stable_samples.get(groups[0]), canary_samples.get(groups[0]))
        strata = [Stratum(group, stable_samples.get(group), canary_samples.get(group)) for group in groups]
        # A proxy that has one of the two versions alone has nothing to compare.
        whole = [each for each in strata if each.stable is not None and each.canary is not None]
        return Window.of_strata(now, weight, tuple(whole or strata))

    def no_healthy_upstream(self, service: str, version: str, now: float) -> bool:
        """Whether this version is known to have no healthy endpoint: a proxy that has it says so,
        and none denies it."""
        health = self.endpoint_health(service, version, now)
        return health is not None and health.is_none

    def lacks_upstream(self, service: str, version: str, now: float) -> bool | None:
        """Whether some proxy has no healthy endpoint of this version; None while none reports on
        the service."""
        health = self.endpoint_health(service, version, now)
        return None if health is None else health.is_lacking

    def endpoint_health(self, service: str, version: str, now: float) -> EndpointHealth | None:
        """How many endpoints of this version the proxies may send to; None while none reports on
        the service.

        Envoy reports no number of endpoints for a cluster whose DNS names it has never resolved: a
        proxy that reports on another version of the service, and not on this one, has none.
        """
        name = cluster_name(service, version)
        counted = self._health.get(name)
        if counted and 0 <= now - counted[0] < RECOUNTED:
            return counted[1]
        health = self._count_endpoints(name, self._versions.get(service, ()), now)
        if name in self._empty:
            health = EndpointHealth(0, 0, 0, max(1, health.proxies if health else 1))
        elif health is None and name in self._unread:
            health = EndpointHealth(0, 0, 0, 0)
        if name in self._clusters:
            self._health[name] = now, health
        return health

    def unjudged(self, service: str, now: float) -> dict[str, Traffic]:
        """What people see of the service's requests that the weights did not send where they went: "VERSION/ROLE" ->
        their traffic."""
        clusters = (each for each in self._by_service.get(service, ()) if each.role is not Role.LIVE)
        return {f"{each.version}/{each.role}": each.traffic(now) for each in clusters}

    def traffic(self, service: str, version: str, now: float) -> Traffic:
        """What people see of one version. All zero if it is not observed."""
        cluster = self._clusters.get(cluster_name(service, version))
        return cluster.traffic(now) if cluster else Traffic()

    def in_progress(self, service: str, version: str) -> int:
        """How many requests that the weights sent to this version have not ended; 0 if it is not observed."""
        cluster = self._clusters.get(cluster_name(service, version))
        return cluster.in_progress if cluster else 0

    def discard_window(self, service: str) -> None:
        """Forget what happened since the last window: the next one begins here."""
        for cluster in self._by_service.get(service, ()):
            cluster.discard()
        self._close_window(service)

    def begin_rollout(self, service: str) -> None:
        """A rollout of this service starts: its windows and its counts begin here."""
        for cluster in self._by_service.get(service, ()):
            cluster.begin_rollout()
        self._close_window(service)

    def totals(self) -> dict[tuple[str, str], dict[str, int]]:
        """(service, version) -> outcome (`ok`, `5xx`, `4xx`, `broken`, `cancelled`) ->
        requests since it is observed. They only rise."""
        live = (each for each in self._clusters.values() if each.role is Role.LIVE)
        return {(each.service, each.version): dict(each.total) for each in live}

    def unjudged_totals(self) -> dict[ClusterId, dict[str, int]]:
        """The same of the clusters that are not judged."""
        others = (each for each in self._clusters.values() if each.role is not Role.LIVE)
        return {ClusterId(each.service, each.version, each.role): dict(each.total) for each in others}

    def durations(self) -> dict[tuple[str, str], BucketCounts]:
        """(service, version) -> responses by latency bucket since it is observed. They only rise."""
        live = (each for each in self._clusters.values() if each.role is Role.LIVE)
        return {(each.service, each.version): dict(each.durations) for each in live}

    def first_tokens(self) -> dict[tuple[str, str], BucketCounts]:
        """The same by the bucket of the time to the first token."""
        live = (each for each in self._clusters.values() if each.role is Role.LIVE)
        return {(each.service, each.version): dict(each.first_tokens) for each in live}

    def _count_endpoints(self, name: str, versions: Iterable[str], now: float) -> EndpointHealth | None:
        """The endpoints of that cluster, by every proxy; `versions` are the clusters of its service."""
        numbers, total, lacking = [], 0, False
        for proxy in self._proxies.values():
            if now - proxy.last_message > FRESH:
                continue
            healthy = proxy.healthy.get(name)
            if healthy is not None:
                numbers.append(healthy)
                total = max(total, proxy.members.get(name, healthy))
            elif not lacking:
                lacking = any(other in proxy.healthy for other in versions)
        if not numbers:
            return EndpointHealth(0, 0, 0, 0) if lacking else None
        return EndpointHealth(0 if lacking else min(numbers), max(numbers), total, len(numbers))

    def _close_window(self, service: str) -> None:
        if pacing := self._services.get(service):
            pacing.close_window()

    def _take_samples(self, service: str, version: str, role: Role = Role.LIVE) -> dict[str, Sample]:
        cluster = self._clusters.get(cluster_name(service, version, role))
        return cluster.take_samples() if cluster else {}

    def _group(self, proxy: str, service: str, splits: Mapping[str, str] | None = None) -> str:
        if splits is not None:
            return splits.get(service, DECIDED)
        return self._lagging.get(service, _NO_SPLITS).get(proxy, DECIDED)

    def _note_message(self, proxy: str, metrics: ProxyMetrics, now: float) -> ProxyCounters:
        counters = self._proxies.setdefault(proxy, ProxyCounters())
        self._proxies.move_to_end(proxy)
        if len(self._proxies) > MAX_PROXIES:
            self._proxies.popitem(last=False)
        if counters.on_message(metrics, now):
            self._health.clear()
        return counters

    def _add_metrics(
        self,
        proxy: str,
        increments: Mapping[tuple[str, CounterKind], int],
        metrics: ProxyMetrics,
        now: float,
        splits: Mapping[str, str] | None = None,
    ) -> None:
        for (name, kind), increment in increments.items():
            if cluster := self._clusters.get(name):
                cluster.add_counter(self._group(proxy, cluster.service, splits), kind, increment, now)
        for name, counts in metrics.latency.items():
            if cluster := self._clusters.get(name):
                cluster.add_latency(self._group(proxy, cluster.service, splits), counts, now)
        for name, counts in metrics.ttft.items():
            if cluster := self._clusters.get(name):
                cluster.add_ttft(self._group(proxy, cluster.service, splits), counts, now)


def _counted_in(cluster: ClusterId) -> str:
    """The name of the cluster whose counts include what is reported of this one."""
    return cluster_name(*cluster[:2]) if cluster.role is Role.SHIELDED else cluster_name(*cluster)
