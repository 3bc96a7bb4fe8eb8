"""A load in figures: rates, errors and percentiles by version."""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.demo.harness.request_result import RequestResult


@dataclass(frozen=True, slots=True)
class Flow:
    """What one version gave clients over some seconds.

    Percentiles are of all responses, errors included.
    """

    responses: int = 0
    errors: int = 0
    per_second: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


def flows(results: Iterable[RequestResult], seconds: float) -> dict[str, Flow]:
    """The flow of each version among these results of that many seconds; of requests without one,
    by the reason."""
    by_source: dict[str, list[RequestResult]] = {}
    for result in results:
        by_source.setdefault(result.source, []).append(result)
    return {source: _flow(given, seconds) for source, given in sorted(by_source.items())}


def _flow(results: list[RequestResult], seconds: float) -> Flow:
    taken = sorted(result.milliseconds for result in results)
    errors = sum(not result.ok for result in results)
    return Flow(len(results), errors, len(results) / seconds, _percentile(taken, 0.50), _percentile(taken, 0.99))


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
