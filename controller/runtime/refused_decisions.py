"""Decisions that the store refuses, since something else came first: a lost race now and then, but not for long."""

from collections import Counter
from collections.abc import Collection

import structlog

from controller.core.control.decision import Decision
from controller.core.model.store_errors import StoreError

REPEATED = 10
"""Decisions on one service that are refused in a row before that is an error: races are lost once or twice."""

log = structlog.get_logger()


class RefusedDecisions:
    """Counts, by service, what was refused since a decision on it was last applied."""

    def __init__(self) -> None:
        self._in_a_row: Counter[str] = Counter()

    def note(self, service: str, decision: Decision, refused: StoreError) -> None:
        """A decision was refused. Each is logged; when they have become many, one error says so."""
        self._in_a_row[service] += 1
        why, reason = type(refused).__name__.lower(), str(refused)
        log.info("not_applied", service=service, decision=decision.kind, why=why, reason=reason)
        if self._in_a_row[service] == REPEATED:
            log.error(
                "decisions_not_applied", service=service, in_a_row=REPEATED, decision=decision.kind, reason=reason
            )

    def applied(self, service: str) -> None:
        """A decision was applied."""
        if self._in_a_row.pop(service, 0) >= REPEATED:
            log.info("decisions_applied_again", service=service)

    def forget_all_but(self, services: Collection[str]) -> None:
        """Forget the services that are gone."""
        for gone in self._in_a_row.keys() - set(services):
            del self._in_a_row[gone]
