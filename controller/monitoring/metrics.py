"""Haldane's own metrics for Prometheus: counters and histograms, updated as things happen.

What holds at the moment is read at each scrape (`current_state`). Labels hold only names that operators chose
(services, versions, fleets, channels), never what a request or a proxy says of itself, so their number is bounded.
"""

import platform
from collections import Counter as Counts
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from controller import __version__
from controller.core.base.errors import Code
from controller.core.control.decision import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.service_state import ServiceState
from controller.ports.report_admission import NotCounted

CONVERGENCE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TICK_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""Seconds."""

OPERATOR = "operator"
"""The reason of a rollback that an operator asked for."""
TYPES = ("Listener", "RouteConfiguration", "Cluster", "ClusterLoadAssignment")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a gauge beside each counter adds nothing


class Metrics:
    """Counts what happens. Implements every Protocol of `ports.meters`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rollbacks: Counts[tuple[str, str]] = Counts()
        """By service and reason."""
        self.suppressed: Counts[str] = Counts()
        self._rejects = Counter("haldane_xds_rejects", "NACKed configurations", ["type"], registry=self.registry)
        for name in TYPES:
            self._rejects.labels(name)
        self._convergence = Histogram(
            "haldane_proxy_convergence_seconds",
            "From a new revision to a proxy's ACK",
            buckets=CONVERGENCE_BUCKETS,
            registry=self.registry,
        )
        self._ticks = Histogram(
            "haldane_tick_seconds", "One tick of one rollout", buckets=TICK_BUCKETS, registry=self.registry
        )
        self._cycles = Counter(
            "haldane_cycles",
            "Rounds over the services that were due; they stand while another controller decides",
            registry=self.registry,
        )
        self._tick_errors = Counter(
            "haldane_tick_errors", "Ticks that ended with an error of Haldane's own", registry=self.registry
        )
        build = Gauge("haldane_build_info", "What runs, 1", ["version", "python"], registry=self.registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._notifications = Counter(
            "haldane_notifications", "Ledger lines for a target", ["target", "outcome"], registry=self.registry
        )
        self._hooks = Counter("haldane_hooks", "Answers of hooks", ["hook", "type", "outcome"], registry=self.registry)
        self._ignored = Counter(
            "haldane_reports_ignored", "Reports that do not count", ["reason"], registry=self.registry
        )
        for reason in NotCounted:
            self._ignored.labels(reason)
        self._report_interval = Gauge(
            "haldane_report_interval_seconds",
            "Between the load reports of a proxy with a canary; longer than the setting while not all can be taken in",
            registry=self.registry,
        )
        self._denied = Counter(
            "haldane_denied", "Requests refused because of who called", ["door", "code"], registry=self.registry
        )
        for door, code in product(("admin", "http"), (Code.UNAUTHENTICATED, Code.DENIED)):
            self._denied.labels(door, code)

    def count_decision(self, state: ServiceState, decision: Decision, verdict: Verdict) -> None:
        """Count a decision that was committed."""
        if decision.kind is LedgerKind.ROLLBACK:
            self.rollbacks[state.name, verdict.cause] += 1
        elif decision.kind is LedgerKind.ROLLBACK_SUPPRESSED:
            self.suppressed[state.name] += 1

    def count_command(self, service: str, decision: Decision) -> None:
        """Count what an operator's command led to, once it is committed."""
        if decision.kind is LedgerKind.ROLLBACK:
            self.rollbacks[service, OPERATOR] += 1

    def observe_tick(self, seconds: float) -> None:
        """Record how long one tick of one rollout took."""
        self._ticks.observe(seconds)

    def count_cycle(self) -> None:
        """Count a cycle: every service that was due has been ticked."""
        self._cycles.inc()

    def count_tick_error(self) -> None:
        """Count a tick that ended with an error of Haldane's own."""
        self._tick_errors.inc()

    def count_notifications(self, target: str, outcome: str, lines: int) -> None:
        """Count ledger lines that were `delivered`, `refused` (for good) or `lost` (too old)."""
        self._notifications.labels(target, outcome).inc(lines)

    def count_ignored_report(self, reason: str) -> None:
        """Count a report of which nothing counted, and why."""
        self._ignored.labels(reason).inc()

    def set_report_interval(self, seconds: float) -> None:
        """Record how often the proxies of a canary's fleets are asked to report."""
        self._report_interval.set(seconds)

    def count_hook_answer(self, hook: str, kind: str, outcome: str) -> None:
        """Count an answer: a hook `passed`, `refused`, or was `unanswered`."""
        self._hooks.labels(hook, kind, outcome).inc()

    def observe_ack(self, seconds: float) -> None:
        """Record the time between a publication and a proxy's ACK of it."""
        self._convergence.observe(seconds)

    def count_denied(self, door: str, code: str) -> None:
        """Count a request that a door refused because of who called: UNAUTHENTICATED or DENIED."""
        self._denied.labels(door, code).inc()

    def count_nack(self, type_url: str) -> None:
        """Count a NACK of a resource of that type."""
        self._rejects.labels(type_url.rpartition(".")[2]).inc()
