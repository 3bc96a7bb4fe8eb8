"""Hooks for tests that are not about hooks."""

from controller.core.control.blocker import Blocker
from controller.core.control.decision import Decision
from controller.core.judge.verdict import Reason, Verdict
from controller.core.model.service_state import ServiceState


class NoHooks:
    """No policy names a hook."""

    def hook_blocker(self, state: ServiceState, decision: Decision, verdict: Verdict) -> Blocker | None:
        return None

    def rollback_reason(self, state: ServiceState, verdict: Verdict | None) -> Reason | None:
        return None
