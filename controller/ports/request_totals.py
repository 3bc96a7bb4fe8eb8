"""Where the request counts and durations of the metrics come from."""

from collections.abc import Mapping
from typing import Protocol

from controller.core.model.cluster_names import ClusterId
from controller.core.traffic.latency_buckets import BucketCounts


class RequestTotals(Protocol):
    """Counts requests by service, version and outcome."""

    def totals(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """(service, version) -> outcome (`ok`, `5xx`, `4xx`, `broken`, `cancelled`) -> requests since this process
        started.

        Raises nothing.
        """
        ...

    def unjudged_totals(self) -> Mapping[ClusterId, Mapping[str, int]]:
        """The same of the clusters of requests that are not judged."""
        ...

    def durations(self) -> Mapping[tuple[str, str], BucketCounts]:
        """(service, version) -> responses by latency bucket, of the requests that the weights sent there, since this
        process started."""
        ...

    def first_tokens(self) -> Mapping[tuple[str, str], BucketCounts]:
        """The same by the bucket of the time to the first token."""
        ...
