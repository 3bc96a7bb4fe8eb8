"""Metrics of versions whose endpoints have a source."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from controller.ports.observatory import Live

LABELS = ["service", "version"]


def source_families(lives: Mapping[str, Live]) -> Iterable[Metric]:
    """What this replica has read of the sources; `lives` is by service."""
    up = GaugeMetricFamily("haldane_source_up", "1 while the source is read and watched", labels=LABELS)
    known = GaugeMetricFamily("haldane_source_endpoints", "As the source said last; no series: never", labels=LABELS)
    shared = GaugeMetricFamily(
        "haldane_source_shared_endpoints", "Those that another version of the service has too", labels=LABELS
    )
    stale = GaugeMetricFamily(
        "haldane_source_last_known_timestamp_seconds",
        "When the endpoints were known that are served from before a restart; no series: they were read since",
        labels=LABELS,
    )
    for service, live in lives.items():
        for version, status in live.sources.items():
            up.add_metric([service, version], float(status.is_read and not status.problem))
            if status.endpoints is not None:
                known.add_metric([service, version], len(status.endpoints))
            if status.last_known:
                stale.add_metric([service, version], status.last_known)
            shared.add_metric([service, version], sum(version in each.versions for each in live.shared))
    return up, known, shared, stale
