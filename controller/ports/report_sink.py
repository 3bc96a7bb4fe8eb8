"""Where the reports of this controller's proxies go. `core.traffic.book.Book` is one; no method raises."""

from collections.abc import Mapping
from typing import Protocol

from controller.core.traffic.reports import ClusterLoad, CounterKind, ProxyMetrics


class ReportSink(Protocol):
    """Takes what counts of the reports. `now` is seconds on a monotonic clock."""

    @property
    def observed(self) -> frozenset[str]:
        """The names of the observed clusters; a new set each time that they, or `own`, change."""
        ...

    @property
    def own(self) -> Mapping[str, str]:
        """The clusters of operators' own, by their names in Envoy, and by what name each is observed."""
        ...

    def on_load_report(self, proxy: str, loads: Mapping[str, ClusterLoad], interval: float, now: float) -> list[str]:
        """A proxy's load report; it promises the next one in `interval` seconds. Returns the services whose windows can
        be judged now."""
        ...

    def on_load_reports_end(self, proxy: str) -> None:
        """A proxy's load reports have ended."""
        ...

    def complete_windows(self, now: float) -> list[str]:
        """The services whose windows can be judged."""
        ...

    def on_metrics(self, proxy: str, metrics: ProxyMetrics, now: float) -> Mapping[tuple[str, CounterKind], int]:
        """One flush of a proxy's metrics. Returns by how much its counters have risen."""
        ...

    def on_metrics_end(self, proxy: str, *, ambiguous: bool) -> None:
        """A proxy's metrics have ended; `ambiguous`: the next one of that name may be another."""
        ...

    def forget_counters(self, proxy: str) -> None:
        """A proxy's counters mean nothing for the next proxy of that name."""
        ...
