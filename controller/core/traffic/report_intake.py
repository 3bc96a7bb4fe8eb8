"""Where the one that decides reads the logs of all controllers: each batch counts once, whoever sends it again.

A batch is known by the instance of its controller, which a restart changes, and its number. Batches that were read
in this term are known by `received`. Those that a former one judged are known by the saved sessions: each has, besides
the evidence, the number of the last batch of each instance that is in it (`positions`). Both were stored at once, so
evidence and position never disagree, however old the session is. Services save at different times, so a batch that is
sent again counts for those whose sessions do not have it, and for no others.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controller.core.model.cluster_names import cluster_parts
from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import ProxyReport, ReportBatch, Split
from controller.core.traffic.reports import ClusterLoad, ProxyMetrics

Positions = Mapping[str, int]
"""Instance of a controller -> the number of a batch of its log."""


@dataclass(slots=True)
class _Log:
    """The log of one instance, as far as it was read in this term."""

    received: int
    acknowledged: int
    """What someone had when it was opened first: what a service without a saved session begins after."""
    judged: dict[str, int]
    """Service -> the last batch that is in its saved session."""
    proxies: set[str] = field(default_factory=set)
    repeated_until: int = field(init=False)
    """The last batch of which something may count already."""

    def __post_init__(self) -> None:
        self.repeated_until = max(self.acknowledged, *self.judged.values(), 0)


class ReportIntake:
    """Reads batches into a book. Mutable, without I/O. `decided` names the split that is decided on a service."""

    def __init__(self, book: Book, saved: Mapping[str, Positions], decided: Callable[[str], str]) -> None:
        """`saved` are the positions of the sessions that earlier terms saved, by service."""
        self._book = book
        self._saved = saved
        self._decided = decided
        self._logs: dict[str, _Log] = {}
        self.skipped = 0
        """Batches that were never sent: their controller had dropped them."""

    @property
    def positions(self) -> Positions:
        """Up to which batch each log was read."""
        return {instance: log.received for instance, log in self._logs.items()}

    def open(self, instance: str, acknowledged: int) -> int:
        """Begin, or go on, with the log of that instance: the batches after the number that is returned are wanted.

        `acknowledged` is the newest that someone had, in this term or before it.
        """
        log = self._logs.get(instance)
        if log is None:
            judged = {service: positions.get(instance, 0) for service, positions in self._saved.items()}
            first = min(acknowledged, *judged.values()) if judged else acknowledged
            log = self._logs[instance] = _Log(first, acknowledged, judged)
        return log.received

    def add(self, instance: str, batch: ReportBatch, now: float) -> set[str]:
        """Add what of the batch does not count yet. Returns the services whose windows are complete now.

        KeyError if that log is not open.
        """
        log = self._logs[instance]
        if batch.number <= log.received:
            return set()
        counts = _Unjudged(log, batch.number) if batch.number <= log.repeated_until else None
        self.skipped += batch.number - log.received - 1
        log.received = batch.number
        other = {s: split.decided for s, split in batch.splits.items() if split.decided != self._decided(s)}
        lagging = _by_proxy(batch.splits)
        complete: set[str] = set()
        for proxy, report in batch.reports.items():
            key = _key(instance, proxy)
            log.proxies.add(key)
            splits = {**other, **lagging[proxy]} if proxy in lagging else other
            complete.update(self._add(key, counts.of(report) if counts else report, splits, now))
            if report.ended:
                log.proxies.discard(key)
        return complete

    def proxies_of(self, instance: str) -> int:
        """How many proxies of that controller have reported, and not ended."""
        return len(self._logs[instance].proxies)

    def forget(self, instance: str) -> None:
        """That controller is gone: its proxies are not waited for. Its positions stay."""
        log = self._logs.get(instance)
        for key in log.proxies if log else ():
            self._book.on_load_reports_end(key)
            self._book.forget_counters(key)
        if log:
            log.proxies.clear()

    def _add(self, key: str, report: ProxyReport, splits: Mapping[str, str], now: float) -> Iterable[str]:
        if report.flushed or report.health:
            known = report.health
            metrics = ProxyMetrics(
                latency=report.latency,
                ttft=report.ttft,
                healthy=known.healthy if known else self._book.healthy(key),
                members=known.members if known else {},
            )
            self._book.on_increments(key, report.counters, metrics, now, splits)
        complete: list[str] = []
        if report.interval:
            complete = self._book.on_load_report(key, report.loads, report.interval, now, splits)
        if report.ended:
            self._book.on_load_reports_end(key)
            complete = self._book.complete_windows(now)
        return complete


class _Unjudged:
    """What of a repeated batch does not count yet."""

    def __init__(self, log: _Log, number: int) -> None:
        self._log = log
        self._number = number
        self._known: dict[str, bool] = {}

    def of(self, report: ProxyReport) -> ProxyReport:
        """The report without what counts already. Requests in progress are no sum: they stay."""
        return ProxyReport(
            {name: load if self._counts(name) else _uncounted(load) for name, load in report.loads.items()},
            report.interval,
            {key: risen for key, risen in report.counters.items() if self._counts(key[0])},
            {name: counts for name, counts in report.latency.items() if self._counts(name)},
            {name: counts for name, counts in report.ttft.items() if self._counts(name)},
            report.flushed,
            report.health,
            report.ended,
        )

    def _counts(self, cluster: str) -> bool:
        known = self._known.get(cluster)
        if known is None:
            parts = cluster_parts(cluster)
            service = parts.service if parts else ""
            known = self._known[cluster] = self._number > self._log.judged.get(service, self._log.acknowledged)
        return known


def _uncounted(load: ClusterLoad) -> ClusterLoad:
    return ClusterLoad(in_progress=load.in_progress)


def _by_proxy(splits: Mapping[str, Split]) -> dict[str, dict[str, str]]:
    """Proxy -> service -> the split that it serves, where it lags."""
    found: dict[str, dict[str, str]] = {}
    for service, split in splits.items():
        for proxy, name in split.lagging.items():
            found.setdefault(proxy, {})[service] = name
    return found


def _key(instance: str, proxy: str) -> str:
    """A proxy's key in the book: proxies of two controllers may say the same of themselves."""
    return f"{proxy}@{instance}"
