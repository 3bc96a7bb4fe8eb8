"""The counts of one version: the sums for the next window, the totals, and the rates of the last
seconds."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from controller.core.model.cluster_names import Role
from controller.core.traffic.latency_buckets import UPPER, BucketCounts, quantile, with_edges
from controller.core.traffic.reports import ClusterLoad, CounterKind, Traffic
from controller.core.traffic.window import Sample

K = TypeVar("K")

RECENT = 10.0
"""Seconds over which rates are shown."""
ERRORS = ("5xx", "4xx", "broken")
CANCELLED = "cancelled"
OUTCOMES = ("ok", *ERRORS, CANCELLED)
DECIDED = ""
"""The group of the proxies that serve the decided split."""
_OUTCOME_OF = {
    CounterKind.NO_SERVER: "5xx",
    CounterKind.OVERFLOW: "5xx",
    CounterKind.TIMED_OUT: "5xx",
    CounterKind.BROKEN: "broken",
}
"""Counter -> the outcome of the requests that it counts."""
_NOT_STARTED = {CounterKind.NO_SERVER, CounterKind.OVERFLOW, CounterKind.UNCONNECTED}
"""Counters of requests that load reports do not count as started."""
_REPORTED_OK = {CounterKind.BROKEN, CounterKind.CANCELLED}
"""Counters of responses that load reports count as successes."""
_GIVEN_UP = {CounterKind.CANCELLED, CounterKind.ABANDONED}
"""Counters of requests that their clients gave up on."""


@dataclass(slots=True)
class _Second:
    """One second of a cluster's traffic, for the rates."""

    at: int
    answered: int = 0
    errors: int = 0
    latency: Counter[int] = field(default_factory=Counter)
    ttft: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class WindowCounts:
    """What happened in one cluster at one group of proxies since the last window. Mutable.

    Load reports count as successes also client errors, and responses that ended badly after their
    headers. The metrics that tell them apart arrive at other times, so those are taken out of the
    successes later, and never more than there are. `unmatched_4xx` are client errors that will
    count when they are taken out. `counted_twice` are responses that have counted as what they
    are, maybe long after their headers, and whose success is still to be taken out.
    """

    reported: bool = False
    """Whether a load report has named this version since the last window."""
    started: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    ttft: Counter[int] = field(default_factory=Counter)
    unmatched_4xx: int = 0
    counted_twice: int = 0
    cancelled: int = 0
    in_progress: dict[str, int] = field(default_factory=dict)
    """By proxy: its newest number of requests in progress."""

    def add_load(self, proxy: str, load: ClusterLoad) -> Mapping[str, int]:
        """Add a proxy's load report: its increments, and its requests in progress. Returns the
        outcomes."""
        self.reported = True
        self.in_progress[proxy] = load.in_progress
        if not (load.started or load.ok or load.errors):
            return {}
        self.started += load.started
        counted_twice = min(self.counted_twice, load.ok)
        self.counted_twice -= counted_twice
        ok = load.ok - counted_twice
        client_errors = min(self.unmatched_4xx, ok)
        self.unmatched_4xx -= client_errors
        outcomes = {"ok": ok - client_errors, "4xx": client_errors, "5xx": load.errors}
        _add(self.outcomes, outcomes)
        return outcomes

    def add_counter(self, kind: CounterKind, increment: int) -> Mapping[str, int]:
        """Add the increment of a proxy's counter. Returns the outcomes."""
        if kind is CounterKind.CLIENT_ERRORS:
            self.unmatched_4xx += increment
        if kind in _NOT_STARTED:
            self.started += increment
        if kind in _REPORTED_OK:
            self.counted_twice += increment
        if kind in _GIVEN_UP:
            self.cancelled += increment
            return {CANCELLED: increment}
        outcome = _OUTCOME_OF.get(kind)
        outcomes = {outcome: increment} if outcome else {}
        _add(self.outcomes, outcomes)
        return outcomes

    def take_sample(self) -> Sample | None:
        """The sums since the last time, which start again; None if no proxy has reported this
        version."""
        if not self.reported:
            return None
        sample = Sample(
            self.started,
            self.outcomes["ok"],
            {outcome: self.outcomes[outcome] for outcome in ERRORS},
            with_edges(self.latency),
            UPPER,
            in_progress=sum(self.in_progress.values()) if self.in_progress else None,
            cancelled=self.cancelled,
            ttft=with_edges(self.ttft),
        )
        self.discard()
        return sample

    @property
    def is_empty(self) -> bool:
        """Whether no proxy is in this group any more."""
        return not self.in_progress

    def take_over(self, other: "WindowCounts") -> None:
        """Take over the sums of another group, and what is still to be taken out of the successes."""
        self.started += other.started
        self.cancelled += other.cancelled
        self.unmatched_4xx += other.unmatched_4xx
        self.counted_twice += other.counted_twice
        _add(self.outcomes, other.outcomes)
        _add(self.latency, other.latency)

    def discard(self) -> None:
        """Start the sums for the next window again."""
        self.reported = False
        self.started = self.cancelled = 0
        self.outcomes.clear()
        self.latency.clear()
        self.ttft.clear()


@dataclass(slots=True)
class ClusterCounts:
    """The counts of one version in one of its roles, those for the next window apart by group of
    proxies. Mutable. `now` is seconds on a monotonic clock."""

    service: str
    version: str
    role: Role = Role.LIVE
    groups: dict[str, WindowCounts] = field(default_factory=dict)
    total: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))
    total_at_start: Counter[str] = field(default_factory=Counter)
    """Of `total`, what was there when the rollout started."""
    recent: deque[_Second] = field(default_factory=deque)
    durations: Counter[int] = field(default_factory=Counter)
    """Every response since the cluster is observed, by latency bucket. Never reset."""
    first_tokens: Counter[int] = field(default_factory=Counter)
    """Likewise, by the bucket of the time to the first token."""

    def add_load(self, group: str, proxy: str, load: ClusterLoad, now: float) -> None:
        """Add a proxy's load report: its increments, and its requests in progress."""
        if len(self.groups) > 1 or group not in self.groups:
            self.on_proxy_end(proxy)  # it may have been of another group before
        outcomes = self._counts_of(group).add_load(proxy, load)
        if outcomes:
            self._add_outcomes(outcomes, now)

    def add_counter(self, group: str, kind: CounterKind, increment: int, now: float) -> None:
        """Add the increment of a proxy's counter."""
        if increment:
            self._add_outcomes(self._counts_of(group).add_counter(kind, increment), now)

    def on_proxy_end(self, proxy: str) -> None:
        """A proxy's load reports have ended: its requests in progress are not known any more."""
        for counts in self.groups.values():
            counts.in_progress.pop(proxy, None)

    def add_latency(self, group: str, counts: BucketCounts, now: float) -> None:
        """Add the latency of one flush of metrics."""
        if counts:
            _add(self._counts_of(group).latency, counts)
            _add(self._second(now).latency, counts)
            _add(self.durations, counts)

    def add_ttft(self, group: str, counts: BucketCounts, now: float) -> None:
        """Add the times to the first token of one flush of metrics."""
        self._counts_of(group).ttft.update(counts)
        self._second(now).ttft.update(counts)
        self.first_tokens.update(counts)

    def take_samples(self) -> dict[str, Sample]:
        """By group: the sums since the last time, which start again. A group without a report of
        this version is left out."""
        samples = {group: counts.take_sample() for group, counts in self.groups.items()}
        self._drop_groups()
        return {group: sample for group, sample in samples.items() if sample}

    def discard(self) -> None:
        """Start the sums for the next window again."""
        for counts in self.groups.values():
            counts.discard()
        self._drop_groups()

    def begin_rollout(self) -> None:
        """Start the sums and the counts that people see again."""
        self.discard()
        self.total_at_start = self.total.copy()

    @property
    def in_progress(self) -> int:
        """Requests that have not ended, by the newest number of each proxy."""
        return sum(sum(counts.in_progress.values()) for counts in self.groups.values())

    def traffic(self, now: float) -> Traffic:
        """Rates over the last seconds, and counts since the rollout started."""
        self._drop_old(now)
        answered, errors = sum(s.answered for s in self.recent), sum(s.errors for s in self.recent)
        latency: Counter[int] = Counter()
        ttft: Counter[int] = Counter()
        for second in self.recent:
            latency.update(second.latency)
            ttft.update(second.ttft)
        seconds = max(1.0, now - self.recent[0].at) if self.recent else 1.0
        counted = {outcome: self.total[outcome] - self.total_at_start[outcome] for outcome in self.total}
        return Traffic(
            requests_per_second=answered / seconds,
            error_rate=errors / answered if answered else 0.0,
            p50_ms=quantile(latency, 0.50),
            p99_ms=quantile(latency, 0.99),
            requests=counted["ok"] + sum(counted[outcome] for outcome in ERRORS),
            errors=sum(counted[outcome] for outcome in ERRORS),
            broken=counted["broken"],
            cancelled=counted[CANCELLED],
            in_progress=self.in_progress,
            ttft_p50_ms=quantile(ttft, 0.50),
            ttft_p99_ms=quantile(ttft, 0.99),
        )

    def _drop_groups(self) -> None:
        """Drop the groups that no proxy is in any more: there is one for each split that ever lagged.

        What is left in one, such as the metrics of a proxy that had left it by its next load report, is not lost.
        """
        for group in [group for group, counts in self.groups.items() if group != DECIDED and counts.is_empty]:
            self._counts_of(DECIDED).take_over(self.groups.pop(group))

    def _counts_of(self, group: str) -> WindowCounts:
        counts = self.groups.get(group)
        if counts is None:
            counts = self.groups[group] = WindowCounts()
        return counts

    def _add_outcomes(self, outcomes: Mapping[str, int], now: float) -> None:
        _add(self.total, outcomes)
        answered = sum(outcomes.values()) - outcomes.get(CANCELLED, 0)
        if answered:
            second = self._second(now)
            second.answered += answered
            second.errors += answered - outcomes.get("ok", 0)

    def _second(self, now: float) -> _Second:
        if not self.recent or self.recent[-1].at != int(now):
            self.recent.append(_Second(int(now)))
            self._drop_old(now)
        return self.recent[-1]

    def _drop_old(self, now: float) -> None:
        while self.recent and self.recent[0].at <= now - RECENT - 1:
            self.recent.popleft()


def _add(sums: Counter[K], counts: Mapping[K, int]) -> None:
    """Add counts to sums: for a handful of them three times as fast as `Counter.update`."""
    for key, count in counts.items():
        if count:
            sums[key] += count
