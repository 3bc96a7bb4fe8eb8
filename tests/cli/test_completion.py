"""What the Tab key offers, and that it never costs time or prints an error."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.admin_server import WITHIN, AdminServer
from tests.cli.conftest import Haldane


def completions(line: str, **environment: str) -> list[str]:
    """What bash would offer for the last word of that line; fails if anything is printed on standard error."""
    words = line.split(" ")
    setting = {
        **os.environ,
        "_HALDANE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        **environment,
    }
    command = [sys.executable, "-m", "controller"]
    done = subprocess.run(command, env=setting, text=True, capture_output=True, timeout=WITHIN, check=False)
    assert done.stderr == ""
    return [row.partition(",")[2] for row in done.stdout.splitlines() if row]


def test_commands_and_options_are_completed() -> None:
    """Without the controller."""
    assert completions("haldane unf") == ["unfreeze"]
    assert completions("haldane rest") == ["restore"]
    assert "--canary" in completions("haldane start scorer --ca")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("haldane get sc", ["scorer"]),
        ("haldane start ", ["scorer"]),
        ("haldane freeze ", ["scorer"]),
        ("haldane events x", []),
        ("haldane start scorer --canary ", ["v2", "v3"]),
        ("haldane wait scorer --for rolled", ["rolled-back"]),
    ],
)
def test_names_are_completed(scorer: Path, server: AdminServer, line: str, offered: list[str]) -> None:
    """Services, and of a service the versions that could be its canary."""
    assert completions(line, HALDANE_ADMIN=server.address) == offered


def test_fleets_are_completed(haldane: Haldane, scorer: Path, server: AdminServer) -> None:
    """Those that services name."""
    scorer.write_text(scorer.read_text() + "fleets: [edge, inner]\n")
    assert haldane("apply", "-f", str(scorer)).code == 0
    assert completions("haldane bootstrap --fleet e", HALDANE_ADMIN=server.address) == ["edge"]


def test_a_controller_that_is_away_or_silent_costs_no_time() -> None:
    """No completion, no error, and the shell has its prompt back."""
    assert completions("haldane get ", HALDANE_ADMIN="127.0.0.1:1") == []
    assert completions("haldane get ", HALDANE_ADMIN="nonsense") == []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert completions("haldane get ", HALDANE_ADMIN=f"127.0.0.1:{silent.getsockname()[1]}") == []
        assert time.monotonic() - started < 10, "half a second for the controller; the rest is Python's start"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(haldane: Haldane, shell: str) -> None:
    """A script that asks `haldane`; where the shell is installed, one that it can read."""
    done = haldane("completion", shell)
    assert done.code == 0
    assert "_HALDANE_COMPLETE" in done.out
    assert haldane("completion", shell, "-o", "json").document == {"shell": shell, "script": done.out}
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.out, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
