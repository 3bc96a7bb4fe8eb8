"""Where Haldane's own metrics go: one Protocol for each part that reports some. No method raises."""

from typing import Protocol

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.service_state import ServiceState


class TickMeter(Protocol):
    """What ticks cost and what they decide."""

    def count_decision(self, state: ServiceState, decision: Decision, verdict: Verdict) -> None:
        """Count a decision that was committed."""
        ...

    def observe_tick(self, seconds: float) -> None:
        """Record how long one tick of one rollout took."""
        ...

    def count_cycle(self) -> None:
        """Count a cycle: every service that was due has been ticked."""
        ...

    def count_tick_error(self) -> None:
        """Count a tick that ended with an error of Haldane's own."""
        ...


class ProxyMeter(Protocol):
    """How proxies take what is published."""

    def observe_ack(self, seconds: float) -> None:
        """Record the time between a publication and a proxy's ACK of it."""
        ...

    def count_nack(self, type_url: str) -> None:
        """Count a NACK of a resource of that type."""
        ...


class ReportMeter(Protocol):
    """Which reports do not count."""

    def count_ignored_report(self, reason: str) -> None:
        """Count a report of which nothing counted, and why."""
        ...

    def set_report_interval(self, seconds: float) -> None:
        """Record how often the proxies of a canary's fleets are asked to report."""
        ...


class HookMeter(Protocol):
    """What hooks answer."""

    def count_hook_answer(self, hook: str, kind: str, outcome: str) -> None:
        """Count an answer: a hook `passed`, `refused`, or was `unanswered`."""
        ...


class NotificationMeter(Protocol):
    """What becomes of notifications."""

    def count_notifications(self, target: str, outcome: str, lines: int) -> None:
        """Count ledger lines that were `delivered`, `refused` (for good) or `lost` (too old)."""
        ...


class AccessMeter(Protocol):
    """Who was turned away."""

    def count_denied(self, door: str, code: str) -> None:
        """Count a request that a door refused because of who called: UNAUTHENTICATED or DENIED."""
        ...
