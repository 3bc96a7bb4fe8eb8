"""The custom metrics that services' policies name."""

from collections.abc import Mapping
from typing import Protocol

from controller.core.model.service_state import ServiceState
from controller.core.traffic.readings import Reading


class CustomMetrics(Protocol):
    """The custom metrics that services' policies name, read in the background. No method waits or raises."""

    def take(self, state: ServiceState) -> Mapping[str, Reading]:
        """What was read of the service's running rollout since the last call."""
        ...
