"""What proxies say -> windows for the judge and rates for people.

Two sources, both pushed by Envoy. Load reports count every request that was sent to a server of a version, since the
report before: sent, answered well, failed (5xx, reset, timeout, refused connection). The metrics carry what load
reports cannot: how long answers took, the 4xx among the good answers, and the requests that found no server to go to.

Counters in the metrics are cumulative: the difference to the last one seen counts, so a lost message loses nothing. A
counter that falls, or an uptime that does, belongs to a restarted proxy and starts from zero.

Nothing here reads a clock: `now` is seconds on a monotonic one. Sums over proxies do not depend on any order.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from controller.core.model.cluster_names import cluster_name, cluster_parts
from controller.core.traffic.latency_buckets import UPPER, Counts, listed, quantile
from controller.core.traffic.reports import Load, Metered, Tally, Traffic
from controller.core.traffic.window import Sample, Window

RECENT = 10.0
"""Seconds over which rates are shown."""
PATIENCE = 2.0
"""A proxy that has been silent for so many of its report intervals is not waited for any longer."""
NEWBORN = 2.0
"""Seconds of age below which all that a proxy has counted is news, also when it is heard for the first time."""
FRESH = 10.0
"""Seconds for which a proxy's word on the health of servers is believed."""
MAX_METERS = 4096
"""Proxies whose counters are remembered; beyond it the one that was silent longest is forgotten."""


class Book:
    """The sums of all proxies. Mutable, without I/O; everything in it is bounded by what is followed and who reports.

    Only clusters that are followed cost anything: what a proxy says of others is ignored.
    """

    def __init__(self) -> None:
        self.followed: frozenset[str] = frozenset()
        """The names of the clusters that are followed; a new set each time that they change."""
        self._clusters: dict[str, _Cluster] = {}
        self._services: dict[str, _Listening] = {}
        self._meters: OrderedDict[str, _Meter] = OrderedDict()

    def follow(self, clusters: Iterable[str]) -> None:
        """Keep the books of these clusters from now on, and of no others."""
        wanted = {name: parts for name in clusters if (parts := cluster_parts(name))}
        if wanted.keys() == self.followed:
            return
        self.followed = frozenset(wanted)
        self._clusters = {name: self._clusters.get(name) or _Cluster(*parts) for name, parts in wanted.items()}
        services = {service for service, _ in wanted.values()}
        self._services = {name: self._services.get(name) or _Listening() for name in services}
        for meter in self._meters.values():
            meter.keep(self.followed)

    def loads(self, proxy: str, loads: Mapping[str, Load], interval: float, now: float) -> bool:
        """A proxy's load report; it promises the next one in `interval` seconds. Whether some window is due now."""
        services = set()
        for name, load in loads.items():
            if cluster := self._clusters.get(name):
                cluster.load(load, now)
                services.add(cluster.service)
        for service in services:
            self._services[service].hear(proxy, now + PATIENCE * interval)
        return any(self._services[service].complete(now) for service in services)

    def metrics(self, proxy: str, metered: Metered, now: float) -> None:
        """One flush of a proxy's metrics."""
        meter = self._meters.setdefault(proxy, _Meter())
        self._meters.move_to_end(proxy)
        if len(self._meters) > MAX_METERS:
            self._meters.popitem(last=False)
        meter.notice(metered, now)
        for (name, tally), value in metered.counters.items():
            if cluster := self._clusters.get(name):
                cluster.tally(tally, meter.rise((name, tally), value), now)
        for name, counts in metered.latency.items():
            if cluster := self._clusters.get(name):
                cluster.time(counts, now)
        meter.known = self.followed

    def left(self, proxy: str) -> None:
        """A proxy's load reports have ended: it is not waited for. Its counters are remembered for its return."""
        for listening in self._services.values():
            listening.leave(proxy)

    def forget(self, proxy: str) -> None:
        """Its counters mean nothing for the next one of that name."""
        self._meters.pop(proxy, None)

    def window(self, service: str, stable: str, canary: str, weight: int, now: float) -> Window | None:
        """What happened since the window before; None while some proxy's report is still waited for.

        When a window is closed depends on who has reported, never on what: every proxy that has this service and has
        not fallen silent. A side is None if none of them has the version. `weight` is written into the window.
        """
        listening = self._services.get(service)
        if listening is None or not listening.complete(now):
            return None
        listening.close()
        return Window(now, weight, self._take(service, stable), self._take(service, canary))

    def no_healthy_upstream(self, service: str, version: str, now: float) -> bool:
        """Whether this version is known to have no healthy server: every proxy that has it says so, and one does."""
        name = cluster_name(service, version)
        said = False
        for meter in self._meters.values():
            healthy = meter.healthy.get(name) if now - meter.heard <= FRESH else None
            if healthy:
                return False
            said = said or healthy is not None
        return said

    def traffic(self, service: str, version: str, now: float) -> Traffic:
        """What people see of one version. All zero if it is not followed."""
        cluster = self._clusters.get(cluster_name(service, version))
        return cluster.traffic(now) if cluster else Traffic()

    def discard_window(self, service: str) -> None:
        """Forget what happened since the window before: the next one begins here."""
        for cluster in self._clusters.values():
            if cluster.service == service:
                cluster.clear()
        if listening := self._services.get(service):
            listening.close()

    def reset(self, service: str) -> None:
        """A rollout of this service starts: its windows and its counts begin here."""
        for cluster in self._clusters.values():
            if cluster.service == service:
                cluster.begin()
        if listening := self._services.get(service):
            listening.close()

    def totals(self) -> dict[tuple[str, str], dict[str, int]]:
        """(service, version) -> outcome (`ok`, `5xx`, `4xx`) -> answers since it is followed. They only rise."""
        return {(cluster.service, cluster.version): dict(cluster.total) for cluster in self._clusters.values()}

    def _take(self, service: str, version: str) -> Sample | None:
        cluster = self._clusters.get(cluster_name(service, version))
        return cluster.take() if cluster else None


@dataclass(slots=True)
class _Listening:
    """Who reports on a service: until when each is waited for, and who is missing since the window before."""

    until: dict[str, float] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    heard: bool = False

    def hear(self, proxy: str, until: float) -> None:
        self.until[proxy] = until
        self.missing.discard(proxy)
        self.heard = True

    def leave(self, proxy: str) -> None:
        self.until.pop(proxy, None)
        self.missing.discard(proxy)

    def complete(self, now: float) -> bool:
        """Asked at every report, so it stops at the first proxy that is waited for."""
        return self.heard and not any(self.until[proxy] >= now for proxy in self.missing)

    def close(self) -> None:
        self.missing = set(self.until)
        self.heard = False


@dataclass(slots=True)
class _Meter:
    """The counters of one proxy as they were last seen."""

    uptime: float | None = None
    newborn: bool = False
    known: frozenset[str] = frozenset()
    """The clusters that were followed when it last said something."""
    seen: dict[tuple[str, Tally], int] = field(default_factory=dict)
    heard: float = 0.0
    healthy: Mapping[str, int] = field(default_factory=dict)

    def notice(self, metered: Metered, now: float) -> None:
        """A proxy younger than it was is a restarted one: all of its counters have begun anew."""
        uptime = metered.uptime
        self.heard, self.healthy = now, metered.healthy
        if uptime is not None and self.uptime is not None and uptime < self.uptime:
            self.seen = dict.fromkeys(self.seen, 0)
        self.newborn = self.uptime is None and uptime is not None and uptime <= NEWBORN
        self.uptime = uptime if uptime is not None else self.uptime

    def rise(self, counter: tuple[str, Tally], value: int) -> int:
        """What came since the last time. Of what is unknown so far, the first value is only where counting starts.

        Envoy does not send a counter before its first use: one that appears in a known cluster was 0 until then.
        """
        before = self.seen.get(counter)
        if before is None:
            before = 0 if self.newborn or counter[0] in self.known else value
        self.seen[counter] = value
        return value - before if value >= before else value

    def keep(self, clusters: frozenset[str]) -> None:
        """Forget the others."""
        self.seen = {counter: value for counter, value in self.seen.items() if counter[0] in clusters}
        self.known &= clusters


@dataclass(slots=True)
class _Second:
    """One second of a cluster's traffic, for the rates."""

    at: int
    answered: int = 0
    errors: int = 0
    latency: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class _Cluster:
    """The books of one version.

    `owed` are 4xx not yet taken out of the good answers: the two sources arrive at different times, and what is taken
    out later is never more than what is there.
    """

    service: str
    version: str
    named: bool = False
    started: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    owed: int = 0
    total: Counter[str] = field(default_factory=lambda: Counter({"ok": 0, "5xx": 0, "4xx": 0}))
    since: Counter[str] = field(default_factory=Counter)
    """Of `total`, what was there when the rollout started."""
    recent: deque[_Second] = field(default_factory=deque)

    def load(self, load: Load, now: float) -> None:
        self.named = True
        if not (load.started or load.ok or load.errors):
            return
        self.started += load.started
        bad_requests = min(self.owed, load.ok)
        self.owed -= bad_requests
        self._ended({"ok": load.ok - bad_requests, "4xx": bad_requests, "5xx": load.errors}, now)

    def tally(self, tally: Tally, rise: int, now: float) -> None:
        if not rise:
            return
        if tally is Tally.CLIENT_ERRORS:
            self.owed += rise
            return
        self.started += rise
        if tally is not Tally.UNCONNECTED:
            self._ended({"5xx": rise}, now)

    def time(self, counts: Counts, now: float) -> None:
        self.latency.update(counts)
        self._second(now).latency.update(counts)

    def take(self) -> Sample | None:
        """The sums since the last time, which begin anew; None if no proxy named this version."""
        if not self.named:
            return None
        errors = {outcome: self.outcomes[outcome] for outcome in ("5xx", "4xx")}
        sample = Sample(self.started, self.outcomes["ok"], errors, listed(self.latency), UPPER)
        self.clear()
        return sample

    def begin(self) -> None:
        self.clear()
        self.since = self.total.copy()

    def traffic(self, now: float) -> Traffic:
        self._drop(now)
        answered, errors = sum(s.answered for s in self.recent), sum(s.errors for s in self.recent)
        latency: Counter[int] = Counter()
        for second in self.recent:
            latency.update(second.latency)
        seconds = max(1.0, now - self.recent[0].at) if self.recent else 1.0
        counted = {outcome: self.total[outcome] - self.since[outcome] for outcome in self.total}
        return Traffic(
            answered / seconds,
            errors / answered if answered else 0.0,
            quantile(latency, 0.50),
            quantile(latency, 0.99),
            sum(counted.values()),
            counted["5xx"] + counted["4xx"],
        )

    def _ended(self, outcomes: Mapping[str, int], now: float) -> None:
        self.outcomes.update(outcomes)
        self.total.update(outcomes)
        answered = sum(outcomes.values())
        if answered:
            second = self._second(now)
            second.answered += answered
            second.errors += answered - outcomes.get("ok", 0)

    def clear(self) -> None:
        self.named = False
        self.started = 0
        self.outcomes.clear()
        self.latency.clear()

    def _second(self, now: float) -> _Second:
        if not self.recent or self.recent[-1].at != int(now):
            self.recent.append(_Second(int(now)))
            self._drop(now)
        return self.recent[-1]

    def _drop(self, now: float) -> None:
        while self.recent and self.recent[0].at <= now - RECENT - 1:
            self.recent.popleft()
