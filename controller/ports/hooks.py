"""The hooks that services' policies name."""

from typing import Protocol

from controller.core.control.blocker import Blocker
from controller.core.control.decision import Decision
from controller.core.judge.verdict import Reason, Verdict
from controller.core.model.service_state import ServiceState


class Hooks(Protocol):
    """The hooks that services' policies name. No method waits or raises: the newest answer counts."""

    def hook_blocker(self, state: ServiceState, decision: Decision, verdict: Verdict) -> Blocker | None:
        """The hooks that block a decision that moves traffic forward; None if every hook lets it pass."""
        ...

    def rollback_reason(self, state: ServiceState, verdict: Verdict | None) -> Reason | None:
        """Why a hook wants the running rollout rolled back; None if none does. `verdict` is the newest one."""
        ...
