"""`haldane` as a process of its own that need not import anything: forked from an interpreter that has.

What runs is the command's `main`, with the arguments, environment, folder and files that it would have. Only the second
of CPU that the imports take is spent once, not by each of the hundreds of processes that the tests start. What they say
of starting itself is tested where `python -m controller` is executed.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from controller.demo.harness.child_processes import Children, RunningProcess
from tests.support.command import Done

HALDANE = [sys.executable, "-m", "controller"]
"""The words that such a command begins with."""

ROOT = Path(__file__).parents[2]
_SET_DEATH_SIGNAL, _SET_SUBREAPER = 1, 36
_STARTS_PYTHON = ("PYTHON", "LD_")
"""What the interpreter reads as it starts: a command that changes one of these variables is executed."""


class ForkedProcess:
    """A child of this process, like `subprocess.Popen` without pipes."""

    def __init__(self, arguments: Sequence[str], pid: int) -> None:
        self.args = [*HALDANE, *arguments]
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end: its exit code. Raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (code := self.poll()) is None:
            if timeout is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, signum: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class PreloadedChildren(Children):
    """The processes of a test: `haldane` among them is forked where it can be."""

    def spawn(self, command: Sequence[str], env: Mapping[str, str], out: IO[bytes]) -> RunningProcess:
        if list(command[: len(HALDANE)]) != HALDANE or not _starts_alike(env):
            return super().spawn(command, env, out)
        return _fork(command[len(HALDANE) :], env, (out, out), self.folder, session=True)


def start(
    *arguments: str, env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> "ForkedProcess | subprocess.Popen[bytes]":
    """Start `haldane` with these arguments."""
    if _starts_alike(env):
        return _fork(arguments, env, (out, err), Path.cwd())
    return subprocess.Popen([*HALDANE, *arguments], env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


def run(*arguments: str, env: Mapping[str, str], within: float = 60.0) -> Done:
    """Run `haldane` with these arguments to its end."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = start(*arguments, env=env, out=out, err=err)
        try:
            code = child.wait(within)
        finally:
            child.kill()
            child.wait()
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return Done(code, *said)


def _fork(
    arguments: Sequence[str],
    env: Mapping[str, str],
    files: tuple[IO[bytes], IO[bytes]],
    folder: Path,
    *,
    session: bool = False,
) -> ForkedProcess:
    order = {
        **{"arguments": [str(each) for each in arguments], "environment": dict(env), "session": session},
        **{"folder": str(folder), "parent": os.getpid()},
    }
    return ForkedProcess(arguments, _interpreter().fork(order, [file.fileno() for file in files]))


def _starts_alike(env: Mapping[str, str]) -> bool:
    """Whether it can be forked: an interpreter would start in that environment as it does in this one."""
    names = {name for name in {*env, *os.environ} if name.startswith(_STARTS_PYTHON)}
    return sys.platform == "linux" and all(env.get(name) == os.environ.get(name) for name in names)


class _Interpreter:
    """The interpreter that has everything loaded, as its user sees it."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair()
        with its:
            words = [sys.executable, "-m", __name__, str(its.fileno())]
            self._process = subprocess.Popen(words, pass_fds=[its.fileno()], cwd=ROOT, start_new_session=True)
        self._lock = threading.Lock()

    def fork(self, order: Mapping[str, object], files: list[int]) -> int:
        """Have a process forked: its id, once it is this process's child."""
        body = json.dumps(order).encode()
        with self._lock, _adopting():
            socket.send_fds(self._socket, [len(body).to_bytes(4, "big")], files)
            self._socket.sendall(body)
            return int.from_bytes(_receive(self._socket, 4), "big")

    def close(self) -> None:
        """End it. What was forked runs on."""
        self._socket.close()
        self._process.wait()


@functools.cache
def _interpreter() -> _Interpreter:
    """That of this process; it ends with it."""
    interpreter = _Interpreter()
    atexit.register(interpreter.close)
    return interpreter


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """In the block, descendants whose parent ends become children of this process, and not of init."""
    _prctl(_SET_SUBREAPER, 1)
    try:
        yield
    finally:
        _prctl(_SET_SUBREAPER, 0)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        if not (part := connection.recv(size - len(received))):
            raise EOFError("the other end has ended")
        received += part
    return received


# What runs in that interpreter, and in what it forks.


def _serve(connection: socket.socket) -> NoReturn:
    """Fork a process for each order until there is nobody to order any."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # as `haldane serve` does, before it loads gRPC
    import controller.app
    import controller.cli.commands.serve  # noqa: F401

    gc.collect()
    gc.freeze()
    while True:
        head, files, _, _ = socket.recv_fds(connection, 4, 2)
        if not head:
            sys.exit()
        order = json.loads(_receive(connection, int.from_bytes(head, "big")))
        if middle := os.fork():
            os.waitpid(middle, 0)
            for fd in files:
                os.close(fd)
            continue
        middle = os.getpid()
        if os.fork():
            os._exit(0)
        _become(order, files, connection, middle)
        from controller.__main__ import main

        sys.exit(main(order["arguments"]))


def _become(order: dict[str, Any], files: list[int], connection: socket.socket, middle: int) -> None:
    """Be the process that was ordered, once `middle` has ended and the right one is the parent; end if that is gone."""
    while os.getppid() == middle:
        time.sleep(0.0005)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != order["parent"]:
        os._exit(1)
    if order["session"]:
        os.setsid()
    os.chdir(order["folder"])
    for fd, own in zip((os.open(os.devnull, os.O_RDONLY), *files), range(3), strict=True):
        os.dup2(fd, own)
        os.close(fd)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[1:] = order["arguments"]
    with connection:
        connection.sendall(os.getpid().to_bytes(4, "big"))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
