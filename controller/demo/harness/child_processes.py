"""Child processes that never outlive their parent: not after an error, Ctrl-C or kill -9."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

_PR_SET_PDEATHSIG = 1
_STOP_WITHIN = 5.0
"""Seconds that a child gets to end after SIGTERM."""


class ChildDied(Exception):  # noqa: N818
    """A child ended though it should run. The message has its name, exit code and last lines."""


class RunningProcess(Protocol):
    """A process as its parent sees it: `subprocess.Popen` is one."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and its log."""

    name: str
    process: RunningProcess
    log: Path

    @property
    def pid(self) -> int:
        """Its process id, which is that of its process group too."""
        return self.process.pid

    def tail(self, lines: int = 15) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def check(self) -> None:
        """Raise ChildDied unless it runs."""
        code = self.process.poll()
        if code is not None:
            raise ChildDied(f"{self.name} ended with exit code {code}; its last lines:\n{self.tail()}")


class Children:
    """The processes of one run, and the folder with their logs.

    `stop` ends all, the youngest first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keep = False
        """Whether the folder outlives the processes, so that one can see what went wrong."""
        self._children: list[Child] = []

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        """Start a process in its own process group: Ctrl-C reaches only the parent, which then
        ends its children."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = self.spawn(command, {**clean_environment(), **(env or {})}, out)
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def spawn(self, command: Sequence[str], env: Mapping[str, str], out: IO[bytes]) -> RunningProcess:
        """Start a process in that environment, whose output goes to that file."""
        return subprocess.Popen(  # noqa: S603  (our own commands)
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  (started by the main thread, before any other)
        )

    def check(self, *expected_dead: str) -> None:
        """Raise ChildDied if one of them has ended, other than those named."""
        for child in self._children:
            if child.name not in expected_dead:
                child.check()

    def stop(self) -> None:
        """End them all: SIGTERM, then SIGKILL for those that ignore it; nothing in their process
        groups remains."""
        children, self._children = self._children[::-1], []
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.05, deadline - time.monotonic()))
            _signal_group(child, signal.SIGKILL)
            child.process.wait()


@contextlib.contextmanager
def children() -> Iterator[Children]:
    """Processes that end with the block. Their folder is removed too, unless `keep` is set."""
    folder = Path(tempfile.mkdtemp(prefix="haldane-demo-"))
    group = Children(folder)
    try:
        yield group
    finally:
        group.stop()
        if not group.keep:
            shutil.rmtree(folder, ignore_errors=True)


def clean_environment() -> dict[str, str]:
    """The environment without the user's own settings of Haldane."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HALDANE_")}


def _die_with(parent: int) -> Callable[[], None] | None:
    """A hook for the child: it asks the kernel to kill it when its parent is gone.

    None outside Linux.
    """
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def set_death_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return set_death_signal


def _signal_group(child: Child, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signum)
