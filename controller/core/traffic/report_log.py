"""The log of what the proxies of one controller report, for the one that decides, now or after it.

Every controller keeps one, also the one that decides: it reads its own as it reads those of the others. What is
reported adds up in an open batch. A batch is closed, and gets its number, when it is to be sent, so while nobody takes
any, one batch grows: by proxies and clusters, not by time. One batch is sent at a time, and again under its number
until it is acknowledged.

An acknowledged batch is not yet safe: the one that decides has it in memory, and in the sessions that it saves every
five seconds, each of which says up to which batch of each controller it goes. So a batch is kept until every session
that should have it was saved with it. The next one that decides starts from the saved sessions and asks for the
batches after them (`resume`). So nothing is lost that a living controller has received, and nothing counts twice: what
the former one judged and did not save is judged again, by the sessions that do not have it.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping

from controller.core.traffic.report_batch import Health, Histograms, ProxyReport, ReportBatch, Split
from controller.core.traffic.reports import IDLE, ClusterLoad, CounterKind, ProxyMetrics

MAX_SIZE = 20_000
"""Clusters and counts in a batch: about as many bytes, tenfold."""
MAX_REPORTS = 500
"""Proxies in a batch."""
MAX_OPEN = 20_000
"""Proxies in the open batch: beyond it, it is closed. Proxies that come and go under new names must not fill it."""
MAX_WAITING = 200
"""Batches that wait to be sent: beyond it the oldest is dropped. While nobody takes them, only a change of a split
closes one, or a fleet of many proxies."""
MAX_KEPT = 50_000
"""Reports in the batches that are acknowledged and kept, about 40 MB: ten seconds of 1000 proxies with a canary. Beyond
it the oldest batch is dropped; that costs evidence if the one that decides ends just then."""


class ReportLog:
    """The batches of one controller. Mutable, without I/O, bounded."""

    def __init__(self) -> None:
        self.acknowledged = 0
        """The number of the newest batch that someone who decided has had."""
        self.dropped = 0
        """Reports that were dropped before anyone had them."""
        self._number = 0
        self._open: dict[str, ProxyReport] = {}
        self._services: set[str] = set()
        """The services that had requests in the open batch."""
        self._splits: Mapping[str, Split] = {}
        self._waiting: deque[ReportBatch] = deque()
        self._kept: deque[ReportBatch] = deque()
        self._kept_reports = 0
        self._health: dict[str, Health] = {}

    def add_load(self, proxy: str, loads: Mapping[str, ClusterLoad], interval: float) -> None:
        """A proxy's load report, by cluster; it promises the next one in `interval` seconds."""
        report = self._report(proxy)
        report.interval, report.ended = interval, False
        mine = report.loads
        for name, load in loads.items():
            before = mine.get(name)
            mine[name] = load if before is None or before is IDLE else before.plus(load)
            if load is not IDLE:
                self._services.add(_service(name))

    def add_metrics(self, proxy: str, counters: Mapping[tuple[str, CounterKind], int], metrics: ProxyMetrics) -> None:
        """A proxy's metrics: by how much its `counters` have risen, and all else in `metrics`."""
        report = self._report(proxy)
        report.flushed = True
        for key, risen in counters.items():
            report.counters[key] = report.counters.get(key, 0) + risen
            self._services.add(_service(key[0]))
        _add(report.latency, metrics.latency)
        _add(report.ttft, metrics.ttft)
        known = self._health.get(proxy)
        members = {**known.members, **metrics.members} if known else dict(metrics.members)
        health = Health(metrics.healthy, members)
        if health != known:
            report.health = self._health[proxy] = health

    def end(self, proxy: str) -> None:
        """A proxy's load reports have ended."""
        report = self._report(proxy)
        report.ended = True
        for name, load in report.loads.items():
            report.loads[name] = load._replace(in_progress=0) if load.in_progress else load

    def forget(self, proxy: str) -> None:
        """A proxy's metrics have ended."""
        self._health.pop(proxy, None)

    @property
    def has_waiting(self) -> bool:
        """Whether a closed batch is not acknowledged."""
        return bool(self._waiting)

    @property
    def services(self) -> Collection[str]:
        """The services that had requests in the open batch."""
        return self._services

    def set_splits(self, splits: Mapping[str, Split]) -> None:
        """The requests of these `services` are split so from now on: what was reported before of one whose split has
        changed is told apart from what follows."""
        before = self._splits
        if any(service in before and before[service] != split for service, split in splits.items()):
            self._splits = {**splits, **before}
            self._close()
        self._splits = splits

    def next(self) -> ReportBatch | None:
        """The oldest batch that is not acknowledged, the same one until it is; None if nothing was reported."""
        if not self._waiting:
            self._close()
        return self._waiting[0] if self._waiting else None

    def acknowledge(self, received: int, saved: int) -> None:
        """The one that decides has all batches up to `received`, and up to `saved` they are in saved sessions too."""
        while self._waiting and self._waiting[0].number <= received:
            batch = self._waiting.popleft()
            self._kept.append(batch)
            self._kept_reports += len(batch.reports)
            self.acknowledged = max(self.acknowledged, batch.number)
        while self._kept and (self._kept[0].number <= saved or self._kept_reports > MAX_KEPT):
            self._kept_reports -= len(self._kept.popleft().reports)

    def resume(self, received: int) -> None:
        """Another one decides, or the connection to it is a new one: it has all batches up to `received`, and is sent
        those after that, as far as they are kept, and how many healthy endpoints each proxy has."""
        while self._kept and self._kept[-1].number > received:
            batch = self._kept.pop()
            self._kept_reports -= len(batch.reports)
            self._waiting.appendleft(batch)
        for proxy, health in self._health.items():
            self._report(proxy).health = health

    def _report(self, proxy: str) -> ProxyReport:
        report = self._open.get(proxy)
        if report is None:
            if len(self._open) >= MAX_OPEN:
                self._close()
            report = self._open[proxy] = ProxyReport()
        return report

    def _close(self) -> None:
        """Close the open batch, as several where it is large."""
        if not self._open:
            return
        splits = {each: self._splits[each] for each in self._services if each in self._splits}
        for reports in _parts(self._open):
            self._number += 1
            self._waiting.append(ReportBatch(self._number, reports, splits))
        self._open, self._services = {}, set()
        while len(self._waiting) > MAX_WAITING:
            self.dropped += len(self._waiting.popleft().reports)


def _parts(reports: dict[str, ProxyReport]) -> Iterator[dict[str, ProxyReport]]:
    part: dict[str, ProxyReport] = {}
    size = 0
    for proxy, report in reports.items():
        if part and (len(part) >= MAX_REPORTS or size + report.size > MAX_SIZE):
            yield part
            part, size = {}, 0
        part[proxy] = report
        size += report.size
    yield part


def _service(cluster: str) -> str:
    return cluster.partition("/")[0]


def _add(sums: Histograms, histograms: Mapping[str, Mapping[int, int]]) -> None:
    for name, counts in histograms.items():
        if counts:
            mine = sums.setdefault(name, {})
            for bucket, count in counts.items():
                mine[bucket] = mine.get(bucket, 0) + count
