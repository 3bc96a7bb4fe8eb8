"""How much each kind of ledger line matters to people."""

from collections.abc import Mapping
from enum import IntEnum


class Severity(IntEnum):
    """How much it matters."""

    INFO = 1
    """All is well, and something happened."""
    WARNING = 2
    """Somebody should know, or act, in working hours."""
    CRITICAL = 3
    """Wake somebody up."""


SKIPPED = "notifications_skipped"
"""Our own word to somebody who missed ledger lines; it is no ledger line itself."""

_KINDS: Mapping[Severity, str] = {
    Severity.INFO: """service_applied rollout_started rollout_warm step_advanced approved promotion_started
        bake_started promoted paused resumed ledger_trimmed""",
    Severity.WARNING: f"""service_deleted approval_needed rolled_back sight_back stable_healthy fallback_off
        metric_lost metric_back proxy_refused freeze_set freeze_lifted freeze_expired {SKIPPED}""",
    Severity.CRITICAL: "rollback rollback_suppressed rollback_into_void fallback_on blind stable_unhealthy",
}

SEVERITY: Mapping[str, Severity] = {kind: severity for severity, kinds in _KINDS.items() for kind in kinds.split()}
"""By the ledger line's kind. Every kind that Haldane writes is here."""


def severity_of(kind: str) -> Severity:
    """How severe a line of that kind is; one that is not known here is rather told than kept quiet."""
    return SEVERITY.get(kind, Severity.WARNING)
