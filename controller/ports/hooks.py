"""The hooks that services' policies name."""

from typing import Protocol

from controller.core.control.decision import Decision
from controller.core.judge.verdict import Reason, Verdict
from controller.core.model.state import ServiceState


class Gates(Protocol):
    """The hooks that services' policies name. Neither method ever waits: the newest answer is what counts."""

    def hold(self, state: ServiceState, decision: Decision, verdict: Verdict) -> str:
        """Why a decision that moves traffic forward must wait, in words; empty if every hook lets it pass."""
        ...

    def rollback(self, state: ServiceState, verdict: Verdict | None) -> Reason | None:
        """Why a hook wants the running rollout taken back; None if none does. `verdict` is the newest one."""
        ...
