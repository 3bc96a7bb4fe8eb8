"""What a proxy reports: load since its last report, cumulative counters, latency."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from controller.core.traffic.latency_buckets import BucketCounts


class CounterKind(StrEnum):
    """The cumulative counters that a proxy keeps for each cluster."""

    CLIENT_ERRORS = "client_errors"
    """Responses with a 4xx status. Load reports count them as successes."""
    NO_SERVER = "no_server"
    """Requests that found no healthy endpoint. Load reports leave them out."""
    OVERFLOW = "overflow"
    """Requests rejected since too many wait for a connection, likewise."""
    UNCONNECTED = "unconnected"
    """Requests for which no connection could be made, or that were over the limit of requests. Load
    reports count them as failed, but not as started."""
    BROKEN = "broken"
    """Responses that ended badly after their headers. Load reports count them as successes."""
    CANCELLED = "cancelled"
    """Responses that their clients gave up on after the headers, likewise."""
    ABANDONED = "abandoned"
    """Requests that their clients gave up on before a response. Load reports count them as
    started."""
    TIMED_OUT = "timed_out"
    """Requests that a timeout of Envoy ended without being in the load reports otherwise, likewise."""


class ClusterLoad(NamedTuple):
    """What happened in one cluster since the proxy's last load report: increments.

    `in_progress` alone is none: the requests in progress at the end of the report.
    """

    started: int = 0
    ok: int = 0
    errors: int = 0
    in_progress: int = 0

    def plus(self, newer: "ClusterLoad") -> "ClusterLoad":
        """The load of this report and a newer one."""
        return ClusterLoad(
            self.started + newer.started, self.ok + newer.ok, self.errors + newer.errors, newer.in_progress
        )


IDLE = ClusterLoad()


@dataclass(frozen=True, slots=True)
class ProxyMetrics:
    """A proxy's metrics, by cluster: counters since it started, latency and time to the first token
    of one flush interval.

    `uptime` is the proxy's age in seconds, None if unknown. `healthy` is how many endpoints it may
    send to, of `members`.
    """

    uptime: float | None = None
    counters: Mapping[tuple[str, CounterKind], int] = field(default_factory=dict)
    latency: Mapping[str, BucketCounts] = field(default_factory=dict)
    ttft: Mapping[str, BucketCounts] = field(default_factory=dict)
    healthy: Mapping[str, int] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)
    clusters: frozenset[str] | None = None
    """The clusters of which all else is here; None for all that are observed."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one version did: rates over the last seconds, counts since the rollout started.

    `errors` are part of `requests`, and `broken` are part of `errors`; `cancelled` are in neither.
    `ttft` are times to the first token, 0 where none is reported.
    """

    requests_per_second: float = 0.0
    error_rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    requests: int = 0
    errors: int = 0
    broken: int = 0
    cancelled: int = 0
    in_progress: int = 0
    ttft_p50_ms: float = 0.0
    ttft_p99_ms: float = 0.0
