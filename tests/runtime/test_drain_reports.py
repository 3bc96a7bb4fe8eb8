"""The ledger's lines about requests that a rolled-back canary still has."""

from controller.core.model.rollout import Phase
from controller.core.model.service_state import ServiceState
from controller.runtime.drain_reports import REPORTED_AFTER, DrainReports
from controller.runtime.ledger_writer import LedgerWriter
from controller.store.memory import MemoryStore
from tests.builders import state_in
from tests.fakes.clock import FakeClock
from tests.model.store_checker import done

BACK = state_in(Phase.ROLLED_BACK)
assert BACK.rollout
AT = BACK.rollout.entered_at
LATER = AT + REPORTED_AFTER


def lines(*observed: tuple[ServiceState, int, float]) -> list[tuple[str, str]]:
    """The kinds and texts of the lines that are written when this is observed."""
    store = MemoryStore(clock=FakeClock())
    writer = LedgerWriter(store, done(store.campaign("haldane")).token)
    reports = DrainReports(writer)
    for state, in_progress, wall in observed:
        reports.observe(state, in_progress, wall)
    done(writer.write())
    return [(line.entry.kind, line.entry.why) for line in done(store.events(after=0, limit=100))]


def test_streams_that_go_on_have_a_line_and_their_end_another() -> None:
    """With how many there were, and when the last one ended."""
    assert lines((BACK, 3, LATER), (BACK, 2, LATER + 1), (BACK, 0, LATER + 80), (BACK, 0, LATER + 81)) == [
        ("draining", "3 requests of v2 still in progress 10 s after the rollback"),
        ("drained", "the last request of v2 has ended, 90 s after the rollback"),
    ]


def test_requests_that_end_soon_are_not_worth_a_line() -> None:
    """Those of a moment before the rollback."""
    assert lines((BACK, 3, AT + 1), (BACK, 0, LATER)) == []


def test_only_a_rollback_drains() -> None:
    """Neither a service at rest nor a canary that is promoted, whose requests are everybody's."""
    states = (state_in(None), state_in(Phase.PROMOTED), state_in(Phase.PROGRESSING))
    assert lines(*((state, 3, LATER + 1000) for state in states)) == []


def test_a_second_rollback_has_lines_of_its_own() -> None:
    """Also if the first one was still draining when the second rollout began."""
    assert BACK.rollout
    again = BACK.rollout.model_copy(update={"id": "r2"})
    second = BACK.model_copy(update={"rollout": again})
    kinds = [kind for kind, _ in lines((BACK, 3, LATER), (state_in(Phase.PROGRESSING), 3, LATER), (second, 1, LATER))]
    assert kinds == ["draining", "draining"]
