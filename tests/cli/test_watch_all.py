"""`haldane watch` without a service: all of them, one line each."""

import json
import os
import pty
import signal
from pathlib import Path

import pytest
from rich.console import Console

from controller.cli.text.services_screen import ServicesScreen
from controller.core.control.sync import Sync
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.builders import service_file
from tests.cli.admin_server import AdminServer
from tests.cli.conftest import Haldane, Process
from tests.cli.test_watch_and_wait import ends, line_of, painted_until

START = ("start", "scorer", "--canary", "v2")


def test_each_service_is_a_line_and_each_change_another(
    scorer: Path, haldane: Haldane, process: Process, tmp_path: Path
) -> None:
    """Services that come and go are lines too; Ctrl-C is the usual end."""
    child = process("watch")
    assert "scorer: IDLE | v1 100% | no proxy is connected" in line_of(child)
    haldane(*START)
    assert "scorer: WARMING | canary v2, step 1 of 4 | v2 5%, v1 95%" in line_of(child)
    other = tmp_path / "other.yaml"
    other.write_text(service_file("other", 10001))
    haldane("apply", "-f", str(other))
    assert "other: IDLE" in line_of(child)
    haldane("delete", "other")
    assert "other: deleted" in line_of(child)
    assert ends(child, signal.SIGINT) == 0


def test_as_json_each_line_is_a_document(scorer: Path, haldane: Haldane, process: Process) -> None:
    """A service as in `list`."""
    child = process("watch", "-o", "json")
    first = json.loads(line_of(child))
    assert (first["service"], first["phase"], first["weights"]) == ("scorer", "IDLE", {"v1": 10000})
    haldane(*START)
    assert json.loads(line_of(child))["phase"] == "WARMING"
    haldane("rollback", "scorer")
    assert json.loads(line_of(child))["phase"] == "ROLLING_BACK"
    assert ends(child, signal.SIGTERM) == 0


def test_it_outlives_a_restart_of_the_controller(
    scorer: Path, haldane: Haldane, server: AdminServer, process: Process
) -> None:
    """The loss is said once, and the return."""
    child = process("watch")
    assert "IDLE" in line_of(child)
    server.stop()
    assert "trying again" in line_of(child, "stderr")
    server.start()
    assert "back" in line_of(child, "stderr")
    haldane(*START)
    assert "WARMING" in line_of(child)
    assert ends(child, signal.SIGINT) == 0


def test_on_a_terminal_it_is_a_screen(scorer: Path, haldane: Haldane, server: AdminServer, process: Process) -> None:
    """A table that follows what happens."""
    server.fleet.synced = Sync(1, 2)
    controller, terminal = pty.openpty()
    child = process("watch", stdin=terminal, stdout=terminal)
    os.close(terminal)
    painted = painted_until(controller, "1/2")
    assert "SERVICE" in painted
    assert "scorer" in painted
    haldane(*START)
    assert "5%" in painted_until(controller, "WARMING")
    server.stop()
    painted_until(controller, "trying again")
    server.start()
    haldane("rollback", "scorer")
    painted_until(controller, "ROLLING_BACK")
    assert ends(child, signal.SIGINT) == 0
    os.close(controller)


def test_a_controller_that_is_away_ends_it_at_once(server: AdminServer, haldane: Haldane) -> None:
    """As every command: 6."""
    server.stop()
    assert haldane("watch").code == 6


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_its_width(width: int) -> None:
    """Columns are left out, names shortened, and the heading stays above its column."""
    text = painted(width, None, "a", "n" * 63)
    assert max(map(len, text)) <= width
    assert text[1].index("PHASE") == text[2].index("IDLE")


def test_where_the_terminal_is_too_low_the_quiet_services_are_left_out() -> None:
    """What happens somewhere is on the screen, and how much is not shown."""
    text = painted(80, 6, *(f"s{number}" for number in range(10)))
    assert len(text) == 6
    assert [line.split()[0] for line in text[2:5]] == ["s0", "s1", "s7"]
    assert text[5] == "and 7 more, in which less happens"


def painted(width: int, height: int | None, *names: str) -> list[str]:
    """The lines of the screen of these services; a rollout runs in s7."""
    services = [pb.Service(name=name, stable="v1", weights={"v1": 10000}) for name in names]
    for service in services:
        if service.name == "s7":
            service.rollout.phase = "WARMING"
    console = Console(width=width, force_terminal=False)
    screen = ServicesScreen(pb.ListServicesResponse(services=services), 1_700_000_000.0)
    lines = console.render_lines(screen, console.options.update(height=height), pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]
