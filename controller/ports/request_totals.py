"""Where the request counts of the metrics come from."""

from collections.abc import Mapping
from typing import Protocol

from controller.core.model.cluster_names import ClusterId


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
