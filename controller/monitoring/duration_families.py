"""How long requests took, by version: histograms that are made of Envoy's own at each scrape.

A version has series once a response was reported, and those of a running rollout from its start, so that the first
responses of a canary count as a rise. Their number is bounded by the services that are declared.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.core import HistogramMetricFamily, Metric

from controller.core.model.service_state import ServiceState
from controller.core.traffic.duration_histogram import EDGES, duration_histogram
from controller.core.traffic.latency_buckets import BucketCounts

_NONE: BucketCounts = {}
_UPPER = tuple(str(edge) for edge in EDGES)


_Counts = Mapping[tuple[str, str], BucketCounts]
"""(service, version) -> responses by latency bucket."""


def duration_families(states: Iterable[ServiceState], durations: _Counts, first_tokens: _Counts) -> Iterable[Metric]:
    """Latency and time to the first token, of the requests that the weights sent to each version; one family each."""
    running = [(state, version) for state in states for version in _compared(state)]
    duration = _family(
        "haldane_request_duration_seconds",
        "From the request at the proxy to the last byte of the response; of a service without a canary, a quarter",
        durations,
        {(state.name, version) for state, version in running},
    )
    first_token = _family(
        "haldane_time_to_first_token_seconds",
        "From the last byte of the request to the first byte of the response's body; of streaming services",
        first_tokens,
        {(state.name, version) for state, version in running if state.spec.streaming},
    )
    return duration, first_token


def _compared(state: ServiceState) -> tuple[str, ...]:
    """The versions of the running rollout."""
    rollout = state.rollout
    return (rollout.stable, rollout.canary) if rollout and rollout.running else ()


def _family(name: str, text: str, counts: _Counts, always: set[tuple[str, str]]) -> Metric:
    """The histograms of the versions that have counts, and of those that are shown `always`."""
    family = HistogramMetricFamily(name, text, labels=["service", "version"])
    for key in sorted({key for key, each in counts.items() if each} | always):
        histogram = duration_histogram(counts.get(key, _NONE))
        buckets = [*zip(_UPPER, map(float, histogram.below), strict=True), ("+Inf", float(histogram.responses))]
        family.add_metric(key, buckets, histogram.seconds)
    return family
