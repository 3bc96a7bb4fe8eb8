"""The whole demo, for real: what a new user sees, and that nothing stays behind however it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.demo.conftest import in_folder, wait_for

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]


@contextmanager
def demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo under way, with everything that it writes in that folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "controller", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Read what the demo prints up to a line with these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the demo ended without saying {words!r}")


def test_the_demo_shows_promotion_rollback_and_freeze(tmp_path: Path) -> None:
    """Exit code 0; all three acts seen at the client, at Envoy and in the ledger; nothing left behind."""
    with demo(tmp_path) as process:
        said, _ = process.communicate(timeout=220)
    assert process.returncode == 0, said
    assert "NOT SEEN" not in said
    assert said.count("clients see v2 alone") == 2
    assert re.search(r"seen +no client saw an error: 0 of \d+ answers", said)
    assert re.search(r"seen +Envoy served v2 at 20%, 50%, 95%, 100%, in this order", said)
    assert re.search(r"measured +first bad answer -> decision \d+\.\d\d s", said)
    assert re.search(r"measured +clients saw [1-9]\d* bad answers", said)
    assert re.search(r"seen +`haldane start` is refused while frozen, with exit code 3", said)
    assert re.search(r"seen +while frozen nothing moved at Envoy: v3 20%, v2 80%", said)
    assert re.search(r"seen +the ledger says that a rollback was suppressed", said)
    assert in_folder(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")
@pytest.mark.parametrize(
    ("words", "signum", "code"),
    [
        ("haldane apply", signal.SIGINT, 130),
        pytest.param("act 1", signal.SIGINT, 130, marks=pytest.mark.soak),
        ("act 1", signal.SIGTERM, 128 + signal.SIGTERM),
        ("act 1", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_no_process_is_left_however_the_demo_is_ended(
    tmp_path: Path, words: str, signum: signal.Signals, code: int
) -> None:
    """Ctrl-C, SIGTERM or kill -9, while it starts or while it plays: servers, controller and Envoy are gone."""
    with demo(tmp_path) as process:
        read_until(process, words)
        process.send_signal(signum)
        process.communicate(timeout=20)
        wait_for(lambda: in_folder(tmp_path) == [], 30)
    assert process.returncode == code


@pytest.mark.parametrize(
    ("part", "process"), [pytest.param("envoy", "envoy", marks=pytest.mark.soak), ("controller", "serve")]
)
def test_a_part_that_dies_fails_the_demo_with_its_last_words(tmp_path: Path, part: str, process: str) -> None:
    """When Envoy or the controller is killed, the demo says so, shows its log, keeps the logs, and ends with 1."""
    with demo(tmp_path) as running:
        read_until(running, "act 1")
        os.kill(next(pid for pid in in_folder(tmp_path) if process in command_of(pid)), signal.SIGKILL)
        said, _ = running.communicate(timeout=30)
    assert running.returncode == 1
    assert f"{part} ended with exit code -9" in said
    assert f"--- {part}.log" in said
    assert list(tmp_path.glob(f"haldane-demo-*/{part}.log"))
    assert in_folder(tmp_path) == []


def command_of(pid: int) -> list[str]:
    """The program of a process without its folder, and its arguments."""
    program, *arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return [Path(program).name, *arguments]
