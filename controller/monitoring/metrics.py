"""Haldane's own figures for Prometheus. Counters and histograms are told; states are read when they are asked for.

Labels hold only names that operators chose (services, versions, fleets, channels), never what a request or a proxy
says of itself, so their number is bounded.
"""

import re
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.core.base.value import NAME
from controller.core.control.decision import Decision
from controller.core.judge.channels import ALTERNATIVES_OF
from controller.core.judge.verdict import Verdict
from controller.core.model.freeze import ALL
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.rollout import Phase
from controller.core.model.state import ServiceState
from controller.core.routing.routing import named_fleets
from controller.ports.fleet import ConfigState, Fleet
from controller.ports.observatory import Observatory

CONVERGENCE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TICK_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)

OPERATOR = "operator"
"""The reason of a rollback that a person asked for."""
REASONS = (*ALTERNATIVES_OF, "no_arrivals", "blind", "insufficient", "custom", "hook", OPERATOR)
"""Why there are rollbacks. Shown at zero once a service has had a rollout, so that the first one counts as a rise."""
TYPES = ("Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment")
STATES = tuple(ConfigState)

MOST_FLEETS = 100
OTHER_FLEET = "other"
"""The label of proxies whose fleet no service names, beyond `MOST_FLEETS` or if that is no name: what proxies say of
themselves makes no series without end."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside each counter tells nothing new


class Totals(Protocol):
    """Where the request counts come from."""

    def totals(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """(service, version) -> outcome (`ok`, `5xx`, `4xx`) -> answers since this process started."""
        ...


class Metrics:
    """What is counted as it happens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rollbacks: Tally[tuple[str, str]] = Tally()
        """By service and reason."""
        self.suppressed: Tally[str] = Tally()
        self._rejects = Counter("haldane_xds_rejects", "Refused configurations", ["type"], registry=self.registry)
        for name in TYPES:
            self._rejects.labels(name)
        self._convergence = Histogram(
            "haldane_proxy_convergence_seconds",
            "From a new revision to a proxy's acknowledgement",
            buckets=CONVERGENCE_BUCKETS,
            registry=self.registry,
        )
        self._ticks = Histogram(
            "haldane_tick_seconds", "One look at one rollout", buckets=TICK_BUCKETS, registry=self.registry
        )
        self._told = Counter(
            "haldane_notifications", "Ledger lines for a target", ["target", "outcome"], registry=self.registry
        )
        self._hooks = Counter("haldane_hooks", "Answers of hooks", ["hook", "type", "outcome"], registry=self.registry)
        self._store = Gauge("haldane_store_up", "Whether the store answered last time", registry=self.registry)
        self._store.set(1)

    def expose(self, observatory: Observatory, fleet: Fleet, totals: Totals) -> None:
        """Add what is read at each scrape."""
        self.registry.register(States(observatory, fleet, totals, self))

    def decided(self, state: ServiceState, decision: Decision, verdict: Verdict) -> None:
        """A decision was committed."""
        if decision.kind is LedgerKind.ROLLBACK:
            self.rollbacks[state.name, verdict.cause] += 1
        elif decision.kind is LedgerKind.ROLLBACK_SUPPRESSED:
            self.suppressed[state.name] += 1

    def obeyed(self, service: str, decision: Decision) -> None:
        """What a person asked for was committed."""
        if decision.kind is LedgerKind.ROLLBACK:
            self.rollbacks[service, OPERATOR] += 1

    def ticked(self, seconds: float) -> None:
        """One look at one rollout took so long."""
        self._ticks.observe(seconds)

    def store_answers(self, up: bool) -> None:
        """Whether the store answered last time."""
        self._store.set(1 if up else 0)

    def count_notifications(self, target: str, outcome: str, lines: int) -> None:
        """So many ledger lines were `delivered` to a target, `refused` by it for good, or `lost` since too old."""
        self._told.labels(target, outcome).inc(lines)

    def hook_answered(self, hook: str, kind: str, outcome: str) -> None:
        """A hook `passed`, `refused`, or was `unanswered`."""
        self._hooks.labels(hook, kind, outcome).inc()

    def acknowledged(self, seconds: float) -> None:
        """A proxy acknowledged what was published so long ago."""
        self._convergence.observe(seconds)

    def rejected(self, type_url: str) -> None:
        """A proxy refused a configuration."""
        self._rejects.labels(type_url.rpartition(".")[2]).inc()


class States(Collector):
    """What holds now: weights, phases, freezes, evidence, proxies, counts by service."""

    def __init__(self, observatory: Observatory, fleet: Fleet, totals: Totals, metrics: Metrics) -> None:
        self._observatory = observatory
        self._fleet = fleet
        self._totals = totals
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """One family each. A service that is gone leaves no state behind, only what was counted."""
        states = list(self._observatory.view().services.values())
        yield self._weights(states)
        yield self._phases(states)
        yield self._frozen(states)
        yield self._rollbacks(states)
        yield self._suppressed(states)
        yield self._evidence(states)
        yield self._proxies()
        yield self._requests()

    def _weights(self, states: list[ServiceState]) -> Metric:
        family = GaugeMetricFamily("haldane_weight", "Parts of 10 000", labels=["service", "version"])
        for state in states:
            weights = {version.name: 0 for version in state.spec.versions} | state.weights
            for version, weight in weights.items():
                family.add_metric([state.name, version], weight)
        return family

    def _phases(self, states: list[ServiceState]) -> Metric:
        family = GaugeMetricFamily("haldane_phase", "1 for the phase it is in", labels=["service", "phase"])
        for state in states:
            present = state.rollout.phase if state.rollout else Phase.IDLE
            for phase in Phase:
                family.add_metric([state.name, phase.value], float(phase is present))
        return family

    def _frozen(self, states: list[ServiceState]) -> Metric:
        family = GaugeMetricFamily("haldane_frozen", "1 for each scope under a freeze or hold", labels=["scope"])
        frozen = {freeze.scope for freeze in self._observatory.view().freezes}
        for scope in sorted({ALL, *(state.name for state in states), *frozen}):
            family.add_metric([scope], float(scope in frozen))
        return family

    def _rollbacks(self, states: list[ServiceState]) -> Metric:
        family = CounterMetricFamily("haldane_rollbacks", "Rollbacks, by cause", labels=["service", "reason"])
        had = [state.name for state in states if state.rollout]
        for key in dict.fromkeys((*product(had, REASONS), *self._metrics.rollbacks)):
            family.add_metric(key, self._metrics.rollbacks[key])
        return family

    def _suppressed(self, states: list[ServiceState]) -> Metric:
        family = CounterMetricFamily(
            "haldane_rollbacks_suppressed", "Rollbacks that a freeze suppressed", labels=["service"]
        )
        for service in dict.fromkeys((*(state.name for state in states), *self._metrics.suppressed)):
            family.add_metric([service], self._metrics.suppressed[service])
        return family

    def _evidence(self, states: list[ServiceState]) -> Metric:
        """Of a rollout that is over, the last: it may have been over before anybody scraped."""
        family = GaugeMetricFamily("haldane_evidence", "E-value of harm", labels=["service", "channel"])
        for state in states:
            for channel, evidence in self._observatory.live(state.name).evidence.items():
                family.add_metric([state.name, channel], evidence)
        return family

    def _proxies(self) -> Metric:
        family = GaugeMetricFamily("haldane_proxies", "Connected proxies", labels=["fleet", "state"])
        proxies = self._fleet.proxies()
        named = named_fleets(self._observatory.view())
        said = sorted({proxy.fleet for proxy in proxies if re.fullmatch(NAME, proxy.fleet)} - named)
        known = {*named, *said[:MOST_FLEETS]}
        counts = Tally((proxy.fleet if proxy.fleet in known else OTHER_FLEET, proxy.state) for proxy in proxies)
        for fleet in sorted(known | {fleet for fleet, _ in counts}):
            for state in STATES:
                family.add_metric([fleet, state], counts[fleet, state])
        return family

    def _requests(self) -> Metric:
        family = CounterMetricFamily("haldane_requests", "Answers by outcome", labels=["service", "version", "outcome"])
        for (service, version), outcomes in self._totals.totals().items():
            for outcome, count in outcomes.items():
                family.add_metric([service, version, outcome], count)
        return family
