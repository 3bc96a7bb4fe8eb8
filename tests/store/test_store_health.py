"""What is known of a store from its last calls, and what the log says of it."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from structlog.testing import capture_logs

from controller.core.model.store_errors import Conflict, NotWritten, StoreLost
from controller.ports.store_health import StoreHealth

FULL, AWAY = NotWritten("the disk is full"), StoreLost("the disk is away")


def test_a_full_disk_still_answers_reads_so_only_a_durable_change_ends_the_problem() -> None:
    """Neither a read nor a conflict shows that there is space again."""
    health = StoreHealth()
    health.failed(FULL, writing=True)
    health.succeeded(writing=False)
    health.failed(Conflict("another was first"), writing=True)
    assert health.problem == "the disk is full"
    health.succeeded(writing=True)
    assert health.problem == ""


def test_a_read_that_works_ends_a_problem_of_reading() -> None:
    """A conflict is a read that worked."""
    for answer in (None, Conflict("another was first")):
        health = StoreHealth()
        health.failed(AWAY, writing=False)
        assert health.problem == "the disk is away"
        if answer:
            health.failed(answer, writing=True)
        else:
            health.succeeded(writing=False)
        assert health.problem == ""


def test_a_problem_is_one_error_in_the_log_however_often_it_is_met() -> None:
    """And one for a problem of another kind, and a line for its end."""
    health = StoreHealth()
    with capture_logs() as logs:
        for _ in range(5):
            health.failed(FULL, writing=True)
            health.succeeded(writing=False)
        for _ in range(5):
            health.failed(AWAY, writing=False)
            health.failed(FULL, writing=True)
        health.succeeded(writing=True)
    assert _said(logs) == [
        ("error", "store_lost", "the disk is full"),
        ("error", "store_lost", "the disk is away"),
        ("info", "store_back", None),
    ]


def test_an_outage_is_logged_once_whichever_member_fails_next() -> None:
    """What is wrong now is in the problem."""
    health = StoreHealth()
    with capture_logs() as logs:
        for member in ("one", "two", "three"):
            health.failed(StoreLost(f"{member} does not answer"), writing=False)
            assert health.is_unread
            assert health.problem == f"{member} does not answer"
        health.succeeded(writing=False)
        assert not health.is_unread
    assert _said(logs) == [("error", "store_lost", "one does not answer"), ("info", "store_back", None)]


def _said(logs: Sequence[MutableMapping[str, Any]]) -> list[tuple[str, str, str | None]]:
    return [(line["log_level"], line["event"], line.get("reason")) for line in logs]
