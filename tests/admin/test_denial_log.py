"""Denials in the log: each is there, until there are too many."""

import pytest
from structlog.testing import capture_logs

from controller.admin.denial_log import LINES, PEERS, WINDOW, DenialLog
from controller.core.access.binding import Binding
from controller.core.access.permission import Permission, Role
from controller.core.base.errors import Code, Refusal
from controller.ports.authenticator import Credentials
from tests.fakes.clock import FakeClock
from tests.support.doorkeepers import CountedDenials, doorkeeper


@pytest.fixture
def clock() -> FakeClock:
    """Time that the test controls."""
    return FakeClock()


@pytest.fixture
def denials(clock: FakeClock) -> DenialLog:
    """The log of one door."""
    return DenialLog("admin", monotonic=clock.monotonic)


def test_a_flood_has_few_lines_and_says_how_many_it_left_out(denials: DenialLog, clock: FakeClock) -> None:
    """Also when it comes again."""
    for _ in range(2):
        with capture_logs() as lines:
            for _ in range(1000):
                denials.write("10.0.0.1", who="anonymous@10.0.0.1")
        assert len(lines) == LINES
        clock.advance(WINDOW)
    with capture_logs() as lines:
        denials.write("10.0.0.1", who="anonymous@10.0.0.1")
    assert lines == [
        {
            "event": "denied",
            "log_level": "warning",
            "door": "admin",
            "peer": "10.0.0.1",
            "who": "anonymous@10.0.0.1",
            "left_out": 1000 - LINES,
        }
    ]


def test_each_peer_has_its_own_lines_up_to_a_number(denials: DenialLog, clock: FakeClock) -> None:
    """One that floods does not silence another; a thousand of them together are as one."""
    with capture_logs() as lines:
        for number in range(1000):
            denials.write(f"2001:db8::{number:x}")
            denials.write("10.0.0.1")
    assert sum(line["peer"] == "10.0.0.1" for line in lines) == LINES
    assert len(lines) == LINES + (PEERS - 1) + LINES
    clock.advance(WINDOW)
    with capture_logs() as lines:
        denials.write("2001:db8::ffff")
    assert [line["peer"] for line in lines] == ["2001:db8::ffff"]


async def test_a_doorkeeper_counts_every_denial_and_logs_few() -> None:
    """Whether the caller is unknown, has no such right, or has it for other services."""
    meter = CountedDenials()
    door = doorkeeper("admin", [Binding(subject="unix:54321", role=Role.VIEWER)], meter=meter)
    with capture_logs() as lines:
        for _ in range(100):
            with pytest.raises(Refusal):
                await door.admit("/Freeze", Permission.FREEZE, Credentials("10.0.0.1"))
            with pytest.raises(Refusal):
                await door.admit("/Freeze", Permission.FREEZE, Credentials("unix", user_id=54321))
        admission = await door.admit("/Get", Permission.VIEW, Credentials("unix", user_id=54321))
        for _ in range(100):
            admission.record(Refusal(Code.DENIED, "not that one"))
    assert meter.denied == {("admin", "UNAUTHENTICATED"): 100, ("admin", "DENIED"): 200}
    assert len(lines) == 2 * LINES


async def test_mistakes_are_logged_unless_a_stranger_makes_them() -> None:
    """What is public is open to floods."""
    door = doorkeeper("admin", [Binding(subject="unix:54321", role=Role.VIEWER)])
    with capture_logs() as lines:
        for credentials in (Credentials("10.0.0.1"), Credentials("unix", user_id=54321)):
            admission = await door.admit("/Can", Permission.PUBLIC, credentials)
            admission.record(Refusal(Code.INVALID, "no such permission"))
    assert [line["event"] for line in lines] == ["refused"]
