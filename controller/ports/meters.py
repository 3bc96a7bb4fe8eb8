"""Where Haldane's own metrics go: one Protocol for each part that reports some. No method raises."""

from typing import Protocol

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Verdict
from controller.core.model.state import ServiceState


class StoreMeter(Protocol):
    """Whether the store answers."""

    def store_answers(self, up: bool) -> None:
        """Record whether the store answered the last request."""
        ...


class TickMeter(StoreMeter, Protocol):
    """What ticks cost and what they decide."""

    def decided(self, state: ServiceState, decision: Decision, verdict: Verdict) -> None:
        """Count a decision that was committed."""
        ...

    def ticked(self, seconds: float) -> None:
        """Record the seconds that one tick of one rollout took."""
        ...


class ProxyMeter(Protocol):
    """How proxies take what is published."""

    def acknowledged(self, seconds: float) -> None:
        """Record the seconds between a publication and a proxy's ACK of it."""
        ...

    def rejected(self, type_url: str) -> None:
        """Count a NACK of a resource of that type."""
        ...


class HookMeter(Protocol):
    """What hooks answer."""

    def hook_answered(self, hook: str, kind: str, outcome: str) -> None:
        """Count an answer: a hook `passed`, `refused`, or was `unanswered`."""
        ...


class NotificationMeter(Protocol):
    """What becomes of notifications."""

    def count_notifications(self, target: str, outcome: str, lines: int) -> None:
        """Count ledger lines that were `delivered`, `refused` (for good) or `lost` (too old)."""
        ...
