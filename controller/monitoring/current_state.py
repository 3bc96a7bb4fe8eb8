"""Metrics of what holds at the moment: read at each scrape, and kept nowhere."""

import re
from collections import Counter as Counts
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.base.value import NAME
from controller.core.judge.channels import ALTERNATIVES_OF
from controller.core.model.cluster_names import ClusterId
from controller.core.model.freeze import ALL
from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.routing import named_fleets
from controller.core.traffic.latency_buckets import BucketCounts
from controller.monitoring.duration_families import duration_families
from controller.monitoring.file_families import file_families
from controller.monitoring.metrics import OPERATOR, Metrics
from controller.monitoring.rollout_families import live_families, stored_families
from controller.monitoring.source_families import source_families
from controller.ports.fleet import ConfigState, Fleet, ProxyStatus
from controller.ports.observatory import Live, Observatory
from controller.ports.request_totals import RequestTotals
from controller.ports.service_files import FilesStatus
from controller.ports.store_health import StoreHealth

REASONS = (*ALTERNATIVES_OF, "no_arrivals", "blind", "insufficient", "custom", "hook", OPERATOR)
"""The reasons of rollbacks. Shown at zero once a service has had a rollout, so that the first one counts as a rise."""

MAX_FLEETS = 100
OTHER_FLEET = "other"
"""The label of proxies whose fleet no service names, beyond `MAX_FLEETS` or if that is no name: what proxies say of
themselves must not make series without limit."""


class CurrentState(Collector):
    """Weights, phases, freezes, evidence, proxies, counts and durations, by service."""

    def __init__(
        self, observatory: Observatory, fleet: Fleet, totals: RequestTotals, metrics: Metrics, store: StoreHealth
    ) -> None:
        self._observatory = observatory
        self._fleet = fleet
        self._totals = totals
        self._metrics = metrics
        self._store = store

    def read(self) -> "Reading":
        """What holds now. Cheap beside making series of it."""
        view = self._observatory.view()
        return Reading(
            view=view,
            lives={name: self._observatory.live(name) for name in view.services},
            proxies=self._fleet.proxies(),
            files=self._observatory.files(),
            store_problem=self._store.problem,
            requests=self._totals.totals(),
            unjudged_requests=self._totals.unjudged_totals(),
            durations=self._totals.durations(),
            first_tokens=self._totals.first_tokens(),
            rollbacks=self._metrics.rollbacks.copy(),
            suppressed=self._metrics.suppressed.copy(),
        )

    def collect(self) -> Iterable[Metric]:
        """The families of this moment."""
        return self.read().collect()


@dataclass(frozen=True, eq=False)
class Reading(Collector):
    """What held at one moment, as values: a scrape of many services can make series of it in a thread."""

    view: View
    lives: Mapping[str, Live]
    """By service."""
    proxies: Sequence[ProxyStatus]
    files: FilesStatus
    store_problem: str
    requests: Mapping[tuple[str, str], Mapping[str, int]]
    unjudged_requests: Mapping[ClusterId, Mapping[str, int]]
    durations: Mapping[tuple[str, str], BucketCounts]
    first_tokens: Mapping[tuple[str, str], BucketCounts]
    rollbacks: Counts[tuple[str, str]]
    """By service and reason."""
    suppressed: Counts[str]

    def collect(self) -> Iterable[Metric]:
        """One family each. A service that is gone leaves no state behind, only what was counted."""
        states = list(self.view.services.values())
        yield from self._weights(states)
        yield self._phases(states)
        yield self._frozen(states)
        yield self._rollbacks(states)
        yield self._suppressed(states)
        yield from stored_families(self.view)
        yield from live_families(states, self.lives)
        yield self._endpoints()
        yield from source_families(self.lives)
        yield from file_families(self.files)
        yield self._proxies()
        yield self._store_up()
        yield from self._requests()
        yield from duration_families(states, self.durations, self.first_tokens)

    def _weights(self, states: list[ServiceState]) -> Iterable[Metric]:
        labels = ["service", "version"]
        ratio = GaugeMetricFamily("haldane_weight_ratio", "Share of the requests, 0 to 1", labels=labels)
        points = GaugeMetricFamily("haldane_weight", "The same in basis points: parts of 10 000", labels=labels)
        for state in states:
            weights = {version.name: 0 for version in state.spec.versions} | state.weights
            for version, weight in weights.items():
                ratio.add_metric([state.name, version], weight / TOTAL_WEIGHT)
                points.add_metric([state.name, version], weight)
        return ratio, points

    def _phases(self, states: list[ServiceState]) -> Metric:
        family = GaugeMetricFamily("haldane_phase", "1 for the phase it is in", labels=["service", "phase"])
        for state in states:
            present = state.rollout.phase if state.rollout else Phase.IDLE
            for phase in Phase:
                family.add_metric([state.name, phase.value], float(phase is present))
        return family

    def _frozen(self, states: list[ServiceState]) -> Metric:
        family = GaugeMetricFamily("haldane_frozen", "1 for each scope under a freeze or hold", labels=["scope"])
        frozen = {freeze.scope for freeze in self.view.freezes}
        for scope in sorted({ALL, *(state.name for state in states), *frozen}):
            family.add_metric([scope], float(scope in frozen))
        return family

    def _rollbacks(self, states: list[ServiceState]) -> Metric:
        family = CounterMetricFamily("haldane_rollbacks", "Rollbacks, by cause", labels=["service", "reason"])
        had = [state.name for state in states if state.rollout]
        for key in dict.fromkeys((*product(had, REASONS), *self.rollbacks)):
            family.add_metric(key, self.rollbacks[key])
        return family

    def _suppressed(self, states: list[ServiceState]) -> Metric:
        family = CounterMetricFamily(
            "haldane_rollbacks_suppressed", "Rollbacks that a freeze suppressed", labels=["service"]
        )
        for service in dict.fromkeys((*(state.name for state in states), *self.suppressed)):
            family.add_metric([service], self.suppressed[service])
        return family

    def _endpoints(self) -> Metric:
        family = GaugeMetricFamily(
            "haldane_endpoints",
            "For the proxy that has the fewest healthy ones",
            labels=["service", "version", "state"],
        )
        for service, live in self.lives.items():
            for version, health in live.endpoints.items():
                family.add_metric([service, version, "healthy"], health.fewest)
                family.add_metric([service, version, "unhealthy"], health.total - health.fewest)
        return family

    def _proxies(self) -> Metric:
        family = GaugeMetricFamily("haldane_proxies", "Connected proxies", labels=["fleet", "state"])
        named = named_fleets(self.view)
        others = sorted({proxy.fleet for proxy in self.proxies if re.fullmatch(NAME, proxy.fleet)} - named)
        known = {*named, *others[:MAX_FLEETS]}
        counts = Counts((proxy.fleet if proxy.fleet in known else OTHER_FLEET, proxy.state) for proxy in self.proxies)
        for fleet in sorted(known | {fleet for fleet, _ in counts}):
            for state in ConfigState:
                family.add_metric([fleet, state], counts[fleet, state])
        return family

    def _store_up(self) -> Metric:
        family = GaugeMetricFamily("haldane_store_up", "Whether the store answers and takes changes")
        family.add_metric([], float(not self.store_problem))
        return family

    def _requests(self) -> Iterable[Metric]:
        judged = CounterMetricFamily(
            "haldane_requests", "Responses by outcome", labels=["service", "version", "outcome"]
        )
        unjudged = CounterMetricFamily(
            "haldane_unjudged_requests",
            "Responses by outcome, to requests that the weights did not send to their version",
            labels=["service", "version", "role", "outcome"],
        )
        for (service, version), outcomes in self.requests.items():
            for outcome, count in outcomes.items():
                judged.add_metric([service, version, outcome], count)
        for (service, version, role), outcomes in self.unjudged_requests.items():
            for outcome, count in outcomes.items():
                unjudged.add_metric([service, version, role, outcome], count)
        return judged, unjudged
