"""The kinds of lines in the ledger, each with its severity."""

from enum import StrEnum

from controller.core.model.severity import Severity


class LedgerKind(StrEnum):
    """What a line of the ledger says happened. The values are stored and shown by the API: they never change."""

    severity: Severity

    def __new__(cls, word: str, severity: Severity) -> "LedgerKind":
        """The member with that stored word."""
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.severity = severity
        return kind

    SERVICE_APPLIED = "service_applied", Severity.INFO
    SERVICE_DELETED = "service_deleted", Severity.WARNING

    ROLLOUT_STARTED = "rollout_started", Severity.INFO
    ROLLOUT_WARM = "rollout_warm", Severity.INFO
    STEP_ADVANCED = "step_advanced", Severity.INFO
    APPROVAL_NEEDED = "approval_needed", Severity.WARNING
    APPROVED = "approved", Severity.INFO
    PROMOTION_STARTED = "promotion_started", Severity.INFO
    BAKE_STARTED = "bake_started", Severity.INFO
    PROMOTED = "promoted", Severity.INFO
    PAUSED = "paused", Severity.INFO
    RESUMED = "resumed", Severity.INFO
    ROLLBACK = "rollback", Severity.CRITICAL
    ROLLED_BACK = "rolled_back", Severity.WARNING
    ROLLBACK_SUPPRESSED = "rollback_suppressed", Severity.CRITICAL
    """A freeze stopped a rollback."""
    NO_HEALTHY_UPSTREAM = "rollback_into_void", Severity.CRITICAL
    """Not rolled back, since stable has no healthy endpoint. The word is kept because lines are stored; read it as
    `rollback withheld`."""
    DRAINING = "draining", Severity.INFO
    """A rolled-back canary still has requests in progress."""
    DRAINED = "drained", Severity.INFO
    FALLBACK_ON = "fallback_on", Severity.CRITICAL
    FALLBACK_OFF = "fallback_off", Severity.WARNING

    BLIND = "blind", Severity.CRITICAL
    """No proxy reports on a version."""
    SIGHT_BACK = "sight_back", Severity.WARNING
    METRIC_LOST = "metric_lost", Severity.WARNING
    METRIC_BACK = "metric_back", Severity.WARNING
    STABLE_UNHEALTHY = "stable_unhealthy", Severity.CRITICAL
    STABLE_HEALTHY = "stable_healthy", Severity.WARNING
    ENDPOINTS_GONE = "endpoints_gone", Severity.WARNING
    """The source of a version has no endpoint any more; `details` name both."""
    ENDPOINTS_BACK = "endpoints_back", Severity.INFO
    PROXY_REFUSED = "proxy_refused", Severity.WARNING
    """A proxy sent a NACK."""
    PROXY_EXCLUDED = "proxy_excluded", Severity.WARNING
    """`details` give its node id."""
    PROXY_INCLUDED = "proxy_included", Severity.WARNING

    FREEZE_SET = "freeze_set", Severity.WARNING
    FREEZE_LIFTED = "freeze_lifted", Severity.WARNING
    FREEZE_EXPIRED = "freeze_expired", Severity.WARNING

    CERTIFICATE_EXPIRES = "certificate_expires", Severity.WARNING
    """A certificate of [tls] expires within 14 days, or has expired; `details` name it and give the Unix time. Once a
    day."""
    TERM_BEGUN = "term_begun", Severity.INFO
    """Another controller decides from now on; `details` give its name, instance and token."""
    STORE_RESTORED = "store_restored", Severity.CRITICAL
    """The store is a restored backup, and everything is frozen; `details` name the backup and its last line."""
    STORE_MIGRATED = "store_migrated", Severity.CRITICAL
    """Everything is frozen and was moved; `details` say from where and to where. It is the last line of the former
    store."""
    LEDGER_TRIMMED = "ledger_trimmed", Severity.INFO
    """`details` give the sequence and hash of the last line that was taken away."""
    NOTIFICATIONS_SKIPPED = "notifications_skipped", Severity.WARNING
    """Sent to a notification target that missed lines; it is in no ledger."""


_SEVERITIES = {kind.value: kind.severity for kind in LedgerKind}


def severity_of(kind: str) -> Severity:
    """How severe a line of that kind is; WARNING for a kind that this version does not know."""
    return _SEVERITIES.get(kind, Severity.WARNING)
