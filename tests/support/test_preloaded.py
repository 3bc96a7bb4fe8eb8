"""A forked `haldane` is the one that is executed: same output, same exit codes, a child of the test."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from controller.demo.harness.child_processes import Children, clean_environment
from tests.cli.admin_server import eventually
from tests.support import preloaded
from tests.support.controller import ControllerProcess
from tests.support.process import free_port

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands descendants over")


@pytest.mark.parametrize("arguments", [["--version"], ["nonsense"], ["list"], ["serve", "--admin", "nowhere"]])
def test_it_says_and_returns_what_the_executed_one_does(arguments: list[str]) -> None:
    """With the environment of the call: `list` finds no controller where that one says."""
    env = {**clean_environment(), "HALDANE_ADMIN": f"127.0.0.1:{free_port()}"}
    executed = subprocess.run([*preloaded.HALDANE, *arguments], env=env, capture_output=True, text=True, check=False)
    forked = preloaded.run(*arguments, env=env)
    assert (forked.code, forked.out, forked.err) == (executed.returncode, executed.stdout, executed.stderr)


@linux
async def test_it_is_a_child_that_is_killed_and_ended(processes: Children) -> None:
    """In a session and a folder of its own, with files of its own and none of the interpreter's."""
    controller = ControllerProcess(processes)
    await controller.start()
    assert isinstance(controller.child.process, preloaded.ForkedProcess)
    pid = controller.child.pid
    assert os.getpgid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == str(processes.folder)
    assert os.readlink(f"/proc/{pid}/fd/1") == str(controller.child.log)
    controller.kill()
    assert controller.child.process.returncode == -signal.SIGKILL
    await controller.start()
    assert controller.stop() == 0


@linux
def test_where_the_interpreter_would_start_otherwise_it_is_executed() -> None:
    """Such as without another's bytecode."""
    env = {**clean_environment(), "PYTHONHASHSEED": "1"}
    with tempfile.TemporaryFile() as out:
        child = preloaded.start("--version", env=env, out=out, err=out)
        assert isinstance(child, subprocess.Popen)
        assert child.wait(60) == 0


PARENT = """
import os, signal, sys
from tests.cli.admin_server import eventually
from tests.support import preloaded
with open(sys.argv[1], "wb") as out:
    child = preloaded.start("serve", env=dict(os.environ), out=out, err=out)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@linux
def test_it_ends_if_whoever_ordered_it_is_gone_before_it_began() -> None:
    """Killed, such as by a timeout of the whole run: nobody is the parent then."""
    script = "from tests.support.preloaded import _become\n_become({'parent': 2**30}, [], None, 2**30)"
    done = subprocess.run([sys.executable, "-c", script], cwd=preloaded.ROOT, timeout=60, check=False)
    assert done.returncode == 1


@linux
def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """Whatever ends that."""
    ports = {f"HALDANE_{api}_LISTEN": f"127.0.0.1:{free_port()}" for api in ("XDS", "ADMIN", "HTTP")}
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    env = {**os.environ, **ports, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, cwd=preloaded.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done
    eventually(lambda: not Path(f"/proc/{int(done.stdout)}/fd/1").exists(), "it has ended")
