"""Custom metrics, polled from Prometheus in the background: whatever Prometheus does, no tick waits for it.

Anything but one finite number of the present is `Unread`, with the reason.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import structlog

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.rollout import JUDGED, Rollout
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread, joined
from controller.ports.clock import Clock
from controller.process.periodic import every
from controller.telemetry.counter_increase import CounterReading, Increase, increase_since
from controller.telemetry.custom_metric import CustomMetric, fill_query
from controller.telemetry.prometheus_client import NoNumber, PrometheusClient

Numbers = tuple[float, ...]
"""What the queries of a metric give for one version, in their order."""

log = structlog.get_logger()


@dataclass(slots=True)
class _PolledRollout:
    """What was read of one rollout: the last counters of each metric and version, and the readings not yet taken."""

    id: str
    counters: dict[tuple[str, str], CounterReading | None] = field(default_factory=dict)
    fresh: dict[str, Reading] = field(default_factory=dict)

    def increase(self, name: str, version: str, numbers: Numbers | Unread, now: float) -> Increase | str | None:
        """The increase of a version's counters since the last reading; None at the first reading."""
        if isinstance(numbers, Unread):
            self.counters[name, version] = None
            return None
        before = self.counters.get((name, version))
        self.counters[name, version], increase = increase_since(before, numbers, now)
        return increase


class PrometheusPoller:
    """Reads the custom metrics of every running rollout (`ports.CustomMetrics`)."""

    def __init__(
        self,
        client: PrometheusClient,
        metrics: Mapping[str, CustomMetric],
        *,
        clock: Clock,
        interval: float,
        on_news: Callable[[Iterable[str]], None],
    ) -> None:
        """`interval` is in seconds; `on_news` is called with the services after each round of readings."""
        self._client = client
        self._metrics = metrics
        self._clock = clock
        self._interval = interval
        self._on_news = on_news
        self._rollouts: dict[str, _PolledRollout] = {}

    def take(self, state: ServiceState) -> Mapping[str, Reading]:
        """What was read of the service's running rollout since the last call."""
        polled = self._rollouts.get(state.name)
        if polled is None or state.rollout is None or polled.id != state.rollout.id:
            return {}
        taken, polled.fresh = polled.fresh, {}
        return taken

    async def run(self, view: Callable[[], View]) -> None:
        """Read everything at each interval, until cancelled; return at once if there are no metrics."""
        if self._metrics:
            await every(self._interval, lambda: self.read(view()))

    async def read(self, view: View) -> None:
        """Read every metric of every running rollout, once."""
        running = {
            name: state
            for name, state in view.services.items()
            if state.rollout and state.rollout.phase in JUDGED and state.rollout.policy.metrics
        }
        self._rollouts = {name: self._polled(state) for name, state in running.items()}
        if not running:
            return
        async with asyncio.TaskGroup() as tasks:
            for state in running.values():
                assert state.rollout is not None
                for metric in state.rollout.policy.metrics:
                    tasks.create_task(self._read(state, metric.name))
        self._on_news(running)

    def _polled(self, state: ServiceState) -> _PolledRollout:
        assert state.rollout is not None
        known = self._rollouts.get(state.name)
        return known if known and known.id == state.rollout.id else _PolledRollout(state.rollout.id)

    async def _read(self, state: ServiceState, name: str) -> None:
        rollout = state.rollout
        assert rollout is not None
        polled, metric = self._rollouts[state.name], self._metrics.get(name)
        if metric is None:
            polled.fresh[name] = Unread("it is not among the controller's settings any more")
            return
        at = self._clock.wall()
        canary, stable = await asyncio.gather(
            *(self._numbers(metric, state.name, version, at) for version in (rollout.canary, rollout.stable))
        )
        if isinstance(canary, Unread):
            reading: Reading | None = canary
        elif isinstance(stable, Unread) and rollout.weight < TOTAL_WEIGHT:
            reading = stable  # with all traffic on the canary, stable is not needed
        elif metric.kind == "gauge":
            reading = _gauged(metric, canary, stable)
        else:
            reading = _counted(polled, name, rollout, (canary, stable), self._clock.monotonic())
        if reading:
            polled.fresh[name] = joined(polled.fresh.get(name), reading)

    async def _numbers(self, metric: CustomMetric, service: str, version: str, at: float) -> Numbers | Unread:
        """What the metric's queries give for one version, or why one of them gives nothing."""
        queries = (fill_query(query, service, version) for query in metric.queries)
        results = await asyncio.gather(*(self._client.query(query, at) for query in queries), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                if not isinstance(error, NoNumber):
                    log.error("metric_failed", service=service, version=version, exc_info=error)
                return Unread(f"of {version}: {error}")
        return tuple(number for number in results if isinstance(number, float))


def _gauged(metric: CustomMetric, canary: Numbers, stable: Numbers | Unread) -> Gauged:
    return Gauged(
        canary=canary[0],
        stable=None if isinstance(stable, Unread) else stable[0],
        higher=metric.worse == "higher",
        k=metric.worse_in,
        n=metric.readings,
        slack=metric.slack,
    )


def _counted(
    polled: _PolledRollout, name: str, rollout: Rollout, numbers: tuple[Numbers, Numbers | Unread], now: float
) -> Reading | None:
    """The increase of both versions' counters over the same time; None at the first reading of one of them."""
    canary = polled.increase(name, rollout.canary, numbers[0], now)
    stable = polled.increase(name, rollout.stable, numbers[1], now)
    if rollout.weight >= TOTAL_WEIGHT and not isinstance(stable, Increase):
        stable = Increase(total=0, events=0)
    for version, increase in ((rollout.canary, canary), (rollout.stable, stable)):
        if isinstance(increase, str):
            return Unread(f"of {version}: {increase}", heard=True)
    if isinstance(canary, Increase) and isinstance(stable, Increase):
        return Counted(canary_n=canary.total, canary_x=canary.events, stable_n=stable.total, stable_x=stable.events)
    return None
