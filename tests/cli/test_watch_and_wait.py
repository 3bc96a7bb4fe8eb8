"""What goes on until it is enough: `watch`, `wait`, `events --follow`; and how they outlive the controller."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.rollout import Event
from controller.ports.observatory import Live
from tests.cli.admin_server import WITHIN, AdminServer, eventually
from tests.cli.conftest import Haldane, Process

START = ("start", "scorer", "--canary", "v2")


def line_of(child: "subprocess.Popen[bytes]", stream: str = "stdout") -> str:
    """The child's next line; fails if none comes in time."""
    pipe = getattr(child, stream)
    ready, _, _ = select.select([pipe], [], [], WITHIN)
    assert ready, f"no line on {stream} within {WITHIN:g} s"
    return str(pipe.readline(), "utf-8")  # unbuffered: what is not read yet shows in the next select


def ends(child: "subprocess.Popen[bytes]", with_signal: signal.Signals | None = None) -> int:
    """The child's exit code, after a signal if one is given."""
    if with_signal:
        child.send_signal(with_signal)
    return child.wait(WITHIN)


def test_watch_prints_each_change_as_a_document(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """One JSON line for each change of the rollout; Ctrl-C is the usual end and no failure."""
    haldane(*START)
    child = process("watch", "scorer", "-o", "json")
    assert json.loads(line_of(child))["phase"] == "WARMING"
    server.happens("scorer", Event.WARM)
    assert json.loads(line_of(child))["phase"] == "PROGRESSING"
    server.happens("scorer", Event.ADVANCE)
    assert json.loads(line_of(child))["weights"] == {"v1": 9000, "v2": 1000}
    assert ends(child, signal.SIGINT) == 0


def test_watch_prints_lines_where_there_is_no_terminal(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """In a log each step is one line, with who has how much and what the judge says; SIGTERM ends it like Ctrl-C."""
    haldane(*START)
    child = process("watch", "scorer")
    assert "scorer: WARMING | canary v2, step 1 of 4 | v2 5%, v1 95%" in line_of(child)
    haldane("freeze", "--all", "--reason", "incident 42")
    assert "all services frozen by" in line_of(child)
    assert ends(child, signal.SIGTERM) == 0


def test_watch_outlives_a_restart_of_the_controller(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """A watch that loses the controller says so, and goes on with what is true once it is back."""
    haldane(*START)
    child = process("watch", "scorer")
    assert "WARMING" in line_of(child)
    server.stop()
    assert "trying again" in line_of(child, "stderr")
    server.happens("scorer", Event.WARM)
    server.start()
    assert "back" in line_of(child, "stderr")
    assert "PROGRESSING" in line_of(child)
    assert ends(child, signal.SIGINT) == 0


def test_watch_ends_when_the_service_is_deleted(scorer: Path, haldane: Haldane, process: Process) -> None:
    """There is nothing to watch any more: not found."""
    child = process("watch", "scorer")
    assert "IDLE" in line_of(child)
    haldane("delete", "scorer")
    assert ends(child) == 4


def test_wait_ends_when_the_canary_is_promoted(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """`wait --for promoted` holds through the steps and a restart, and ends with 0 and the rollout."""
    haldane(*START)
    child = process("wait", "scorer", "--for", "promoted", "--timeout", "1m", "-o", "json")
    eventually(lambda: server.observatory.asked > 0, "the wait has seen the rollout")
    server.happens("scorer", Event.WARM)
    server.stop()
    server.start()
    for event in (Event.PROMOTE, Event.CONFIRM, Event.BAKED):
        assert child.poll() is None
        server.happens("scorer", event)
    out, err = child.communicate(timeout=WITHIN)
    assert (child.returncode, json.loads(out)["phase"]) == (0, "PROMOTED"), err


def test_wait_sees_a_phase_that_was_passed(scorer: Path, haldane: Haldane, server: AdminServer) -> None:
    """Who waits for PROMOTING is not left waiting because the next decision came before the first look."""
    haldane(*START)
    server.happens("scorer", Event.PROMOTE)
    server.happens("scorer", Event.CONFIRM)
    assert haldane("wait", "scorer", "--for", "promoting", "-o", "json").document["phase"] == "BAKING"
    server.happens("scorer", Event.BAKED)
    assert haldane("wait", "scorer", "--for", "promoting").code == 7, "an older rollout is not waited for"


def test_wait_ends_at_its_timeout_though_the_controller_is_away(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """A pipeline is not held for ever by a controller that does not come back."""
    haldane(*START)
    child = process("wait", "scorer", "--for", "promoted", "--timeout", "3s", "-o", "json")
    eventually(lambda: server.observatory.asked > 0, "the wait has seen the rollout")
    server.stop()
    out, _ = child.communicate(timeout=WITHIN)
    assert (child.returncode, json.loads(out)["error"]["code"]) == (7, "TIMEOUT")


def test_events_follow_goes_on_after_a_restart_without_a_gap(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """Each line of the ledger once and in order, whatever happens to the controller meanwhile."""
    child = process("events", "--follow", "-o", "json")
    haldane(*START)
    seen = [json.loads(line_of(child)) for _ in range(2)]
    server.stop()
    assert "trying again" in line_of(child, "stderr")
    server.happens("scorer", Event.WARM)
    server.start()
    haldane("pause", "scorer", "--reason", "lunch")
    seen += [json.loads(line_of(child)) for _ in range(2)]
    assert [event["sequence"] for event in seen] == [1, 2, 3, 4]
    assert [event["kind"] for event in seen] == ["service_applied", "rollout_started", "warm", "paused"]
    assert ends(child, signal.SIGINT) == 0


def test_the_screen_is_painted_on_a_terminal(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """On a terminal the rollout is a screen that follows what happens, with the freeze, the verdict and the ledger."""
    haldane(*START)
    server.fleet.synced = Sync(1, 2)
    server.see("scorer", Live(Verdict(Outcome.UNKNOWN, (Reason("no_traffic", "the canary gets no traffic"),))))
    controller, terminal = pty.openpty()
    child = process("watch", "scorer", stdin=terminal, stdout=terminal)
    os.close(terminal)
    painted = painted_until(controller, "rollout_started")
    for part in ("scorer", "WARMING", "UNKNOWN", "the canary gets no traffic", "1/2 proxies in sync", "5%"):
        assert part in painted
    haldane("freeze", "--all", "--reason", "incident 42")
    painted_until(controller, "FROZEN")  # the rollout and the ledger come by streams of their own
    painted_until(controller, "freeze_set")
    server.stop()
    painted_until(controller, "trying again")
    server.start()
    haldane("rollback", "scorer", "--force", "--reason", "bad answers")
    painted_until(controller, "ROLLING_BACK")
    assert ends(child, signal.SIGINT) == 0
    os.close(controller)


def test_the_screen_shows_that_the_controller_hangs(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """A picture that stands still is not calm: who does not answer is named, and the picture goes on later."""
    haldane(*START)
    controller, terminal = pty.openpty()
    process("watch", "scorer", stdin=terminal, stdout=terminal)
    os.close(terminal)
    painted_until(controller, "WARMING")
    with server.hung():
        painted_until(controller, "does not answer within 2 s")
    server.happens("scorer", Event.WARM)
    painted_until(controller, "PROGRESSING")
    os.close(controller)


def painted_until(controller: int, text: str) -> str:
    """What was painted until that text appeared; fails if it does not in time."""
    painted, end = "", time.monotonic() + WITHIN
    while text not in painted:
        ready, _, _ = select.select([controller], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"{text!r} was not painted within {WITHIN:g} s: {painted[-2000:]!r}"
        painted += os.read(controller, 65536).decode(errors="replace")
    return painted


def test_a_stream_whose_reader_goes_ends_quietly(scorer: Path, haldane: Haldane, process: Process) -> None:
    """`haldane watch | head -1` ends without a complaint once there is something to write that nobody reads."""
    child = process("watch", "scorer", "-o", "json")
    assert line_of(child)
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    haldane(*START)
    assert ends(child) == 1
    assert child.stderr.read() == b""
