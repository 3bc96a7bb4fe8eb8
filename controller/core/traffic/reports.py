"""What a proxy reports: load since the report before, cumulative counters, latencies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controller.core.traffic.latency_buckets import Counts


class Tally(StrEnum):
    """The cumulative counters that a proxy keeps for each cluster."""

    CLIENT_ERRORS = "client_errors"
    """Answers with a 4xx status. Load reports count them as good."""
    NO_SERVER = "no_server"
    """Requests that found no healthy server. Load reports do not know them at all."""
    OVERFLOW = "overflow"
    """Requests refused by a full circuit breaker, likewise."""
    UNCONNECTED = "unconnected"
    """Requests for which no connection could be made. Load reports know them as failed, but not as started."""


@dataclass(frozen=True, slots=True)
class Load:
    """What happened in one cluster since the proxy's report before: increments."""

    started: int = 0
    ok: int = 0
    errors: int = 0


IDLE = Load()


@dataclass(frozen=True, slots=True)
class Metered:
    """What a proxy's metrics say: counters since it started, latencies of one flush interval, by cluster.

    `uptime` is the proxy's age in seconds, None where it does not say. `healthy` is how many servers it may send to.
    """

    uptime: float | None = None
    counters: Mapping[tuple[str, Tally], int] = field(default_factory=dict)
    latency: Mapping[str, Counts] = field(default_factory=dict)
    healthy: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one version did: rates over the last seconds, counts since the rollout started."""

    requests_per_second: float = 0.0
    error_rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    requests: int = 0
    errors: int = 0
