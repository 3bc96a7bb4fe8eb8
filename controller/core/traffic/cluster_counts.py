"""The counts of one version: the sums for the next window, the totals, and the rates of the last
seconds."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.core.traffic.latency_buckets import BucketCounts, quantile
from controller.core.traffic.reports import ClusterLoad, CounterKind, Traffic
from controller.core.traffic.window import Sample

RECENT = 10.0
"""Seconds over which rates are shown."""


@dataclass(slots=True)
class _Second:
    """One second of a cluster's traffic, for the rates."""

    at: int
    answered: int = 0
    errors: int = 0
    latency: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class ClusterCounts:
    """The counts of one version. Mutable. `now` is seconds on a monotonic clock.

    `unmatched_4xx` are client errors not yet taken out of the successes: load reports count them as
    successes, and the metrics that tell them apart arrive at other times. What is taken out later
    is never more than what is there.
    """

    service: str
    version: str
    reported: bool = False
    """Whether a load report has named this version since the last window."""
    started: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    unmatched_4xx: int = 0
    total: Counter[str] = field(default_factory=lambda: Counter({"ok": 0, "5xx": 0, "4xx": 0}))
    total_at_start: Counter[str] = field(default_factory=Counter)
    """Of `total`, what was there when the rollout started."""
    recent: deque[_Second] = field(default_factory=deque)

    def add_load(self, load: ClusterLoad, now: float) -> None:
        """Add a load report's increments."""
        self.reported = True
        if not (load.started or load.ok or load.errors):
            return
        self.started += load.started
        client_errors = min(self.unmatched_4xx, load.ok)
        self.unmatched_4xx -= client_errors
        self._add_outcomes({"ok": load.ok - client_errors, "4xx": client_errors, "5xx": load.errors}, now)

    def add_counter(self, kind: CounterKind, increment: int, now: float) -> None:
        """Add the increment of a proxy's counter."""
        if not increment:
            return
        if kind is CounterKind.CLIENT_ERRORS:
            self.unmatched_4xx += increment
            return
        self.started += increment
        if kind is not CounterKind.UNCONNECTED:
            self._add_outcomes({"5xx": increment}, now)

    def add_latency(self, counts: BucketCounts, now: float) -> None:
        """Add the latency of one flush of metrics."""
        self.latency.update(counts)
        self._second(now).latency.update(counts)

    def take_sample(self) -> Sample | None:
        """The sums since the last time, which start again; None if no proxy has reported this
        version."""
        if not self.reported:
            return None
        errors = {outcome: self.outcomes[outcome] for outcome in ("5xx", "4xx")}
        sample = Sample.of_buckets(self.started, self.outcomes["ok"], errors, self.latency)
        self.discard()
        return sample

    def discard(self) -> None:
        """Start the sums for the next window again."""
        self.reported = False
        self.started = 0
        self.outcomes.clear()
        self.latency.clear()

    def begin_rollout(self) -> None:
        """Start the sums and the counts that people see again."""
        self.discard()
        self.total_at_start = self.total.copy()

    def traffic(self, now: float) -> Traffic:
        """Rates over the last seconds, and counts since the rollout started."""
        self._drop_old(now)
        answered, errors = sum(s.answered for s in self.recent), sum(s.errors for s in self.recent)
        latency: Counter[int] = Counter()
        for second in self.recent:
            latency.update(second.latency)
        seconds = max(1.0, now - self.recent[0].at) if self.recent else 1.0
        counted = {outcome: self.total[outcome] - self.total_at_start[outcome] for outcome in self.total}
        return Traffic(
            requests_per_second=answered / seconds,
            error_rate=errors / answered if answered else 0.0,
            p50_ms=quantile(latency, 0.50),
            p99_ms=quantile(latency, 0.99),
            requests=sum(counted.values()),
            errors=counted["5xx"] + counted["4xx"],
        )

    def _add_outcomes(self, outcomes: Mapping[str, int], now: float) -> None:
        self.outcomes.update(outcomes)
        self.total.update(outcomes)
        answered = sum(outcomes.values())
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
