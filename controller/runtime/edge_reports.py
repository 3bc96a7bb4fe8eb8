"""The reports of this controller's own proxies: into its book, which people and Prometheus see, and into the log that
the one that decides reads."""

from collections.abc import Callable, Mapping

from controller.core.model.split_name import split_name
from controller.core.model.view import View
from controller.core.traffic.book import Book
from controller.core.traffic.report_batch import Split
from controller.core.traffic.report_log import ReportLog
from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics
from controller.ports.fleet import Fleet


class EdgeReports:
    """Of a controller that shares its store with others (`ports.ReportSink`). No window of its book is judged."""

    def __init__(self, book: Book, log: ReportLog, fleet: Fleet, view: Callable[[], View]) -> None:
        """`fleet` are the proxies that are connected here."""
        self.log = log
        self.is_read_here = False
        """Whether this controller decides and reads the log itself: then nothing is passed on, and no late answer of a
        former leader counts."""
        self._book = book
        self._fleet = fleet
        self._view = view

    @property
    def observed(self) -> frozenset[str]:
        """The names of the observed clusters."""
        return self._book.observed

    @property
    def own(self) -> Mapping[str, str]:
        """The clusters of operators' own, by their names in Envoy."""
        return self._book.own

    def update_splits(self) -> None:
        """Tell apart what was reported under different splits."""
        self.log.set_splits({each: split for each in self.log.services if (split := self._split(each))})

    def on_load_report(self, proxy: str, loads: Mapping[str, ClusterLoad], interval: float, now: float) -> list[str]:
        """Count a load report here, and add it to the log."""
        self._book.on_load_report(proxy, loads, interval, now)
        observed = self._book.observed
        if not loads.keys() <= observed:
            loads = {name: load for name, load in loads.items() if name in observed}
        self.log.add_load(proxy, loads, interval)
        return []

    def on_load_reports_end(self, proxy: str) -> None:
        """A proxy's load reports have ended."""
        self._book.on_load_reports_end(proxy)
        self.log.end(proxy)

    def complete_windows(self, now: float) -> list[str]:
        """None: windows are those of all controllers' proxies."""
        return []

    def on_metrics(self, proxy: str, metrics: ProxyMetrics, now: float) -> Mapping[tuple[str, CounterKind], int]:
        """Count a flush of metrics here, and add it to the log."""
        risen = self._book.on_metrics(proxy, metrics, now)
        self.log.add_metrics(proxy, risen, metrics)
        return risen

    def on_metrics_end(self, proxy: str, *, ambiguous: bool) -> None:
        """A proxy's metrics have ended. Its counters are forgotten: when it comes back, another controller may have
        counted what has happened meanwhile."""
        self.forget_counters(proxy)

    def forget_counters(self, proxy: str) -> None:
        """A proxy's counters mean nothing for the next proxy of that name."""
        self._book.forget_counters(proxy)
        self.log.forget(proxy)

    def _split(self, service: str) -> Split | None:
        state = self._view().services.get(service)
        if state is None:
            return None
        running = state.rollout is not None and state.rollout.running
        return Split(split_name(state), self._fleet.sync(service, 0).splits if running else {})
