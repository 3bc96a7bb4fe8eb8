"""What a scrape shows, put together so that a scrape of many services holds up nothing else."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from controller.monitoring.current_state import CurrentState


class Exposition:
    """Counters and histograms, which may be read in any thread; the present state; and few small `others`."""

    def __init__(self, counted: CollectorRegistry, state: CurrentState, *others: Collector) -> None:
        self._counted = counted
        self._state = state
        self._others = others

    def read(self) -> CollectorRegistry:
        """What holds now. It may be collected and encoded in another thread: with a thousand rollouts that takes a
        second, in which no decision should wait."""
        registry = CollectorRegistry()
        families = [family for other in self._others for family in other.collect()]
        for collector in (self._counted, self._state.read(), _Collected(families)):
            registry.register(collector)
        return registry


class _Collected(Collector):
    """Families that were collected before."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The same again."""
        return self._families
