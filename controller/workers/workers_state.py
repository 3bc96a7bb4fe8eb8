"""Metrics of the workers as the first process knows them, read at each scrape."""

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.workers.worker_metrics import LABEL


class KnownWorkers(Protocol):
    """What is known of the workers."""

    @property
    def serving(self) -> Collection[int]:
        """The numbers of those that serve."""
        ...

    @property
    def ends(self) -> Mapping[int, int]:
        """How often each has ended though it should run."""
        ...


class WorkersState(Collector):
    """Which workers serve, and how often each has ended."""

    def __init__(self, workers: KnownWorkers) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        """One family each."""
        up = GaugeMetricFamily(
            "haldane_worker_up", "1 for a worker that serves proxies, 0 while it is away", labels=[LABEL]
        )
        ends = CounterMetricFamily(
            "haldane_worker_ends", "How often a worker has ended though it should run", labels=[LABEL]
        )
        serving = self._workers.serving
        for number, ended in self._workers.ends.items():
            up.add_metric([str(number)], float(number in serving))
            ends.add_metric([str(number)], ended)
        return up, ends
