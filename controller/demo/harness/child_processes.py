"""Child processes that never outlive the demo: not after an error, not after Ctrl-C, not after kill -9."""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STOP_WITHIN = 5.0
"""Seconds that a child gets to end after SIGTERM."""
PORTS = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that none of those takes one before we bind it."""


class ChildDied(Exception):  # noqa: N818
    """A child ended though it should run. The message has its name, exit code and last lines."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the demo's."""

    name: str
    process: subprocess.Popen[bytes]
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
    """The demo's processes, and the folder with their output. `stop` ends all, the youngest first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keep = False
        """Whether the folder outlives the processes: for whoever wants to know what went wrong."""
        self._children: list[Child] = []

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Child:
        """Start a process in its own process group: Ctrl-C reaches the demo alone, which then ends its children."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603  (our own commands)
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**surroundings(), **(env or {})},
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  (started by the main thread, before any other)
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self, *expected_dead: str) -> None:
        """Raise ChildDied if one of them has ended, other than those named."""
        for child in self._children:
            if child.name not in expected_dead:
                child.check()

    def stop(self) -> None:
        """End them all: SIGTERM, and SIGKILL for those that do not listen; nothing of their groups stays."""
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
    """Processes that end with the block, in a folder that goes with them unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="haldane-demo-"))
    group = Children(folder)
    try:
        yield group
    finally:
        group.stop()
        if not group.keep:
            shutil.rmtree(folder, ignore_errors=True)


def surroundings() -> dict[str, str]:
    """The environment without the user's own settings of Haldane: the demo is about its own controller alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HALDANE_")}


def free_ports(count: int, among: range = PORTS) -> list[int]:
    """That many ports of 127.0.0.1 on which nobody listens now."""
    found: list[int] = []
    # From the system and not from the seed: processes that were seeded alike must not pick the same ports.
    for port in random.SystemRandom().sample(among, k=len(among)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"fewer than {count} free ports between {among.start} and {among.stop}")


def _die_with(parent: int) -> Callable[[], None] | None:
    """What a child does first: ask the kernel to be killed when its parent is gone. On Linux alone."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _signal_group(child: Child, signum: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signum)
