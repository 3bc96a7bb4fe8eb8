"""Which of an Envoy's metrics are read, by their names, and what each means. Pure."""

import re
from collections.abc import Iterable, Mapping

from controller.core.model.cluster_names import stats_name
from controller.core.traffic.reports import CounterKind
from controller.core.traffic.response_flags import FIRST_TOKEN, REPORTED_OK, STATS_PREFIX, UNREPORTED, counter_kind

UPTIME = "server.uptime"
LATENCY = "upstream_rq_time"
"""Milliseconds from the start of the request to the end of the response, without timeouts and resets."""
COUNTERS = {
    "upstream_rq_4xx": CounterKind.CLIENT_ERRORS,
    "upstream_cx_none_healthy": CounterKind.NO_SERVER,
    "upstream_rq_pending_overflow": CounterKind.OVERFLOW,
    "upstream_rq_pending_failure_eject": CounterKind.UNCONNECTED,
    "upstream_rq_active_overflow": CounterKind.UNCONNECTED,
}
HEALTHY = "membership_healthy"
MEMBERS = "membership_total"
STATS = (*COUNTERS, LATENCY, HEALTHY, MEMBERS)
"""All metrics that are read of a cluster."""
ENDINGS = f"{STATS_PREFIX}.".encode()
ENDING = re.compile(rf"{STATS_PREFIX}\.({REPORTED_OK}|{UNREPORTED})\.cluster\.([^.]+)\.flags\.([A-Z,]+)".encode())
"""The names of the stats loggers' counters: which logger, cluster, response flags."""

Meaning = tuple[str, str]
"""What a metric means: its cluster, and one of `STATS`, `FIRST_TOKEN`, a `CounterKind`, or `UPTIME` (of no cluster)."""


class WantedMetrics:
    """The metrics that are read of the observed clusters."""

    def __init__(self, observed: Iterable[str], own: Mapping[str, str]) -> None:
        """`own`: the clusters that Envoy has by another name than that by which they are observed."""
        named = {known: name for name, known in own.items()}
        self._by_stats_name = {named.get(cluster) or stats_name(cluster): cluster for cluster in observed}
        self._meanings: dict[bytes, Meaning] = {UPTIME.encode(): ("", UPTIME)}
        for statistics, cluster in self._by_stats_name.items():
            self._meanings |= {f"cluster.{statistics}.{stat}".encode(): (cluster, stat) for stat in STATS}
            self._meanings[f"{STATS_PREFIX}.{FIRST_TOKEN}.cluster.{statistics}".encode()] = cluster, FIRST_TOKEN

    def meaning_of(self, name: bytes) -> Meaning | None:
        """What the metric of that name means; None if it is not read."""
        meaning = self._meanings.get(name)
        if meaning is None and name.startswith(ENDINGS):
            return _ending(name, self._by_stats_name)
        return meaning


def _ending(name: bytes, clusters: Mapping[str, str]) -> Meaning | None:
    """The cluster of a stats logger's counter and what it counts. `clusters`: the observed ones, by statistics name."""
    match = ENDING.fullmatch(name)
    if match is None:
        return None
    logger, statistics, flags = (part.decode(errors="replace") for part in match.groups())
    cluster, kind = clusters.get(statistics), counter_kind(logger, flags)
    return (cluster, kind) if cluster and kind else None
