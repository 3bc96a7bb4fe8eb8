"""Children never outlive the demo, whatever ends it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.demo.harness.child_processes import ChildDied, Children, children
from controller.demo.harness.free_ports import free_ports, iterate_free_ports
from tests.demo.conftest import in_folder, wait_for

PARENT = """
import sys, time
from controller.demo.harness.child_processes import children
with children() as group:
    group.start("stubborn", [sys.executable, "-c", {child!r}])
    print("up", flush=True)
    time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
WITH_CHILD = "import subprocess, sys; print('up', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends children with their parent")


def started(group: Children, script: str) -> int:
    """A running Python script: its process id."""
    child = group.start("script", [sys.executable, "-c", script])
    wait_for(lambda: "up" in child.tail(), 10)
    return child.pid


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@linux
def test_a_child_that_ignores_sigterm_is_ended() -> None:
    """The end of the block leaves nothing, and takes its folder along."""
    with children() as group:
        pid = started(group, "import time; print('up', flush=True); time.sleep(60)")
        folder = group.folder
    assert not alive(pid)
    assert not folder.exists()


@linux
def test_grandchildren_are_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a child has started goes with it."""
    with children() as group:
        started(group, WITH_CHILD.format(child="import time; time.sleep(60)"))
        wait_for(lambda: len(in_folder(group.folder)) == 2, 10)
        folder = group.folder
    assert in_folder(folder) == []


@linux
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_child_outlives_a_parent_that_is_ended(tmp_path: Path, signum: signal.Signals) -> None:
    """kill -9, Ctrl-C or SIGTERM to the parent: a child that ignores SIGTERM is gone all the same."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(child=STUBBORN)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        wait_for(lambda: len(in_folder(tmp_path)) == 1, 10)
        parent.send_signal(signum)
        wait_for(lambda: in_folder(tmp_path) == [], 15)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def test_a_child_that_ends_is_reported_with_its_last_lines() -> None:
    """The error names the child, its exit code and what it wrote last; one that may end is not reported."""
    with children() as group:
        child = group.start("model-v9", [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"])
        child.process.wait()
        with pytest.raises(ChildDied, match=r"model-v9 ended with exit code 3(.|\n)*no such model"):
            group.check()
        group.check("model-v9")


def test_the_folder_is_kept_on_request() -> None:
    """On request the logs stay."""
    with children() as group:
        group.start("short", [sys.executable, "-c", "print('said')"]).process.wait()
        group.keep = True
    assert (group.folder / "short.log").read_text() == "said\n"
    (group.folder / "short.log").unlink()
    group.folder.rmdir()


def test_free_ports_are_different_ones() -> None:
    """Each part of the demo gets its own."""
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(20_000 <= port < 32_000 for port in ports)


def test_every_free_port_is_found_once_and_no_other() -> None:
    """However few there are: the one on which something listens is left out, and more than there are is an error."""
    few = range(20_000, 20_007)
    with socket.create_server(("127.0.0.1", free_ports(1, few)[0])) as server:
        taken = server.getsockname()[1]
        found = sorted(iterate_free_ports(few))
    assert taken not in found
    assert set(found) <= set(few)
    assert free_ports(1, range(found[0], found[0] + 1)) == [found[0]]
    with pytest.raises(OSError, match="fewer than 8 free ports"):
        free_ports(8, few)
