"""Where the steps of a decision are traced: from the report that led to it to the proxies' ACKs.

No method raises or waits. Times are seconds of the monotonic clock.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from controller.core.control.decision import Decision
from controller.core.model.service_state import ServiceState


class DecisionTracer(Protocol):
    """Learns what happens to decisions, step by step."""

    def reported(self, services: Iterable[str]) -> None:
        """Every awaited proxy has reported on these services."""
        ...

    def decided(self, state: ServiceState, decision: Decision, started: float) -> None:
        """A tick that began at `started` has made this decision on that state. Its commit begins."""
        ...

    def committed(self, service: str, revision: int) -> None:
        """The service's last decision is durable at that revision."""
        ...

    def not_committed(self, service: str, why: str) -> None:
        """The service's last decision was refused, or its outcome is unknown."""
        ...

    def pushing(self, revision: int) -> AbstractContextManager[None]:
        """A view of that revision is handed to the proxies' streams inside the block."""
        ...

    def acked(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """A proxy ACKed what was published so many seconds ago."""
        ...


class NullTracer:
    """Traces nothing."""

    def reported(self, services: Iterable[str]) -> None:
        """Ignored."""

    def decided(self, state: ServiceState, decision: Decision, started: float) -> None:
        """Ignored."""

    def committed(self, service: str, revision: int) -> None:
        """Ignored."""

    def not_committed(self, service: str, why: str) -> None:
        """Ignored."""

    def pushing(self, revision: int) -> AbstractContextManager[None]:
        """A block that does nothing more."""
        return nullcontext()

    def acked(self, node: str, fleet: str, type_url: str, seconds: float) -> None:
        """Ignored."""


NO_TRACES = NullTracer()
