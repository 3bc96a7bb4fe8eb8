"""Where the request counts of the metrics come from."""

from collections.abc import Mapping
from typing import Protocol


class RequestTotals(Protocol):
    """Counts requests by service, version and outcome."""

    def totals(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """(service, version) -> outcome (`ok`, `5xx`, `4xx`, `broken`, `cancelled`) -> requests since this process
        started.

        Raises nothing.
        """
        ...
