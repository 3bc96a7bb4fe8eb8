"""`haldane events`: the ledger as a story, page by page, and the check of its chain."""

from pathlib import Path

import pytest

from controller.cli.admin_client import AdminClient
from controller.cli.commands.events import PAGE, read_ledger
from controller.cli.endpoint import Endpoint
from controller.cli.ledger_verification import verify_events
from controller.core.model.actor import Actor
from controller.core.model.ledger_line import LedgerLine
from controller.core.model.rollout import Event
from controller.store.memory import MemoryStore
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane

START = ("start", "scorer", "--canary", "v2", "--reason", "better recall")


def test_the_ledger_has_who_did_what_and_why(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Each act is a line, with its number, what it moved, by whom, and the reason given."""
    haldane(*START)
    server.happens("scorer", Event.ROLLBACK, "5xx: 20% of 300")
    lines = haldane("events").out.splitlines()
    assert [line.split()[1] for line in lines] == ["#1", "#2", "#3"]
    assert "scorer rollout_started [v1 100% > 95%, v2 0% > 5%] by " in lines[1]
    assert lines[1].endswith(": better recall")
    assert "[v1 95% > 100%, v2 5% > 0%] by haldane: 5xx: 20% of 300" in lines[2]


def test_a_service_s_lines_are_its_own_and_those_of_all(scorer: Path, haldane: Haldane) -> None:
    """The ledger of one service has what froze it, and not what concerns others."""
    haldane("freeze", "--all", "--reason", "incident 42")
    assert [e["kind"] for e in haldane("events", "scorer", "-o", "json").document["events"]] == [
        "service_applied",
        "freeze_set",
    ]
    assert haldane("events", "--after", "1", "-o", "json").document["events"][0]["sequence"] == 2


def test_a_service_that_never_existed_is_not_found(scorer: Path, haldane: Haldane) -> None:
    """Neither silence nor the lines about all services: 4, with the name that was probably meant."""
    haldane("freeze", "--all", "--reason", "incident 42")
    for options in ((), ("--follow",), ("--after", "1")):
        done = haldane("events", "scoer", *options)
        assert (done.code, done.out) == (4, "")
        assert "did you mean 'scorer'?" in done.err


def test_a_deleted_service_keeps_its_lines(scorer: Path, haldane: Haldane) -> None:
    """What was done to it can be read when it is gone."""
    assert haldane("delete", "scorer").code == 0
    kinds = [e["kind"] for e in haldane("events", "scorer", "-o", "json").document["events"]]
    assert kinds == ["service_applied", "service_deleted"]
    assert haldane("events", "scorer", "--after", "99").code == 0


def test_a_whole_ledger_is_verified(scorer: Path, haldane: Haldane) -> None:
    """The client hashes every line anew; it names the last hash, to be held against a later check."""
    assert "whole: 1 line, 1 to 1" in haldane("events", "--verify").out
    haldane(*START)
    haldane("freeze", "--all", "--reason", "incident 42", "--ttl", "30m")
    found = haldane("events", "--verify", "-o", "json")
    last = haldane("events", "-o", "json").document["events"][-1]
    assert found.document == {"valid": True, "lines": 3, "first": 1, "last": 3, "hash": last["hash"]}
    assert f"3 lines, 1 to 3, last hash {last['hash']}" in haldane("events", "--verify").out


@pytest.mark.proves("fault 6")
def test_times_that_go_back_are_named(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Lines are in order by their numbers; where a clock was set back between them, the check says so."""
    server.clock.jump(3600)
    haldane("freeze", "--all", "--reason", "incident 42")
    assert "goes back" not in haldane("events", "--verify").out
    server.clock.jump(-3600)
    haldane("unfreeze", "--all", "--reason", "over")
    assert "its time goes back 1 time, first at line 3, by 3600 s at most" in haldane("events", "--verify").out
    found = haldane("events", "--verify", "-o", "json").document
    assert (found["valid"], found["time_goes_back"]) == (True, {"lines": 1, "first": 3, "seconds": 3600.0})


class ForgedStore(MemoryStore):
    """A store in which somebody has rewritten why a line was written."""

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        lines = await super().events(service=service, after=after, limit=limit)
        return [
            line.model_copy(update={"entry": line.entry.model_copy(update={"why": "nothing to see"})})
            if line.sequence == 2
            else line
            for line in lines
        ]


def test_a_forged_ledger_is_detected(haldane: Haldane, server: AdminServer, tmp_path: Path) -> None:
    """A line that was rewritten in the store is named, and the check fails."""
    server.stop()
    forged = ForgedStore(clock=server.clock)
    server.wrapped = lambda _store: forged
    server.start()
    for _ in range(3):
        haldane("freeze", "--all", "--reason", "x")
    done = haldane("events", "--verify")
    assert done.code == 1
    assert "the ledger is broken at line 2: its content does not give its hash" in done.err


@pytest.mark.parametrize(
    "field",
    ["sequence", "revision", "at", "kind", "service", "who", "why", "details", "change_id", "previous", "effect"],
)
def test_no_field_of_a_line_can_be_changed_undetected(
    scorer: Path, haldane: Haldane, server: AdminServer, field: str
) -> None:
    """The hash covers everything that a line says."""
    haldane(*START)
    haldane("pause", "scorer")
    with AdminClient(Endpoint(server.address)) as client:
        events = list(read_ledger(client))
    assert verify_events(events, whole=True).broken is None
    value = getattr(events[1], field)
    setattr(events[1], field, '{"forged": 1}' if field == "details" else value + (type(value)(1)))
    assert verify_events(events, whole=True).broken is not None


def test_a_line_that_was_taken_away_is_missed(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """A gap in the middle and a missing beginning are both found; the rest alone can be checked with --after."""
    haldane(*START)
    haldane("pause", "scorer")
    with AdminClient(Endpoint(server.address)) as client:
        events = list(read_ledger(client))
    assert verify_events([events[0], events[2]], whole=True).broken == 3
    assert verify_events(events[1:], whole=True).broken == 2
    assert verify_events(events[1:], whole=False).broken is None


def test_a_long_ledger_is_read_page_by_page(haldane: Haldane, server: AdminServer) -> None:
    """More lines than one answer holds come all, once, and in order."""
    number = PAGE + 5
    for _ in range(number):
        server.do(server.operations.freeze(("*",), who=Actor("test"), reason="x"))
    with AdminClient(Endpoint(server.address)) as client:
        assert [event.sequence for event in read_ledger(client)] == list(range(1, number + 1))
        assert verify_events(read_ledger(client), whole=True).lines == number
    assert isinstance(haldane("events", "-o", "json").document["events"][-1]["details"], dict)


def test_an_empty_ledger_is_no_fault(haldane: Haldane) -> None:
    """Nothing has happened yet: nothing is shown, and the check has nothing to find."""
    assert haldane("events").out == ""
    assert haldane("events", "--verify").code == 0
