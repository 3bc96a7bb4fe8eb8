"""Decisions that the store refuses again and again are one error, not a line at level info five times a second."""

from structlog.testing import capture_logs

from controller.core.control.decision import Decision
from controller.core.model.freeze import Act
from controller.core.model.ledger_kind import LedgerKind
from controller.core.model.store_errors import Conflict
from controller.runtime.refused_decisions import REPEATED, RefusedDecisions
from tests.builders import state

ADVANCE = Decision(LedgerKind.STEP_ADVANCED, Act.ADVANCE, state())


def test_many_in_a_row_are_one_error_until_one_is_applied() -> None:
    """By service; and a few are none."""
    refused = RefusedDecisions()
    with capture_logs() as logs:
        for service, times in (("scorer", 3 * REPEATED), ("other", REPEATED - 1)):
            for _ in range(times):
                refused.note(service, ADVANCE, Conflict("the record is at revision 7, decided on was 5"))
        for _ in range(2):
            refused.applied("scorer")
            refused.applied("other")
    told = [(line["log_level"], line["event"], line["service"]) for line in logs if line["event"] != "not_applied"]
    assert told == [("error", "decisions_not_applied", "scorer"), ("info", "decisions_applied_again", "scorer")]


def test_a_service_that_is_gone_is_forgotten() -> None:
    """One of the same name starts afresh."""
    refused = RefusedDecisions()
    with capture_logs() as logs:
        for _ in range(REPEATED - 1):
            refused.note("scorer", ADVANCE, Conflict("x"))
        refused.forget_all_but(["other"])
        refused.note("scorer", ADVANCE, Conflict("x"))
    assert {line["event"] for line in logs} == {"not_applied"}
