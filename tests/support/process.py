"""A program under test as a process of its own, which ends with the test whatever happens."""

import os
import signal
from collections.abc import Mapping, Sequence

from controller.demo.harness.child_processes import Child, Children
from controller.demo.harness.free_ports import PORTS, iterate_free_ports

_OURS = PORTS[
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
]
"""Tests that run side by side have ports of their own: between choosing a port and listening there, another may."""
_free = iterate_free_ports(_OURS)


def free_port() -> int:
    """A port of 127.0.0.1 on which no one listens now; never the same one twice, since it may not be bound yet."""
    return next(_free)


class Process:
    """A program that can be started, ended, killed and started again. Its output is shown when the test fails."""

    def __init__(
        self, group: Children, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._group = group
        self._name = name
        self._command = command
        self._environment = environment
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running process, or the one that ran last."""
        assert self._child, f"{self._name} was never started"
        return self._child

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.process.poll() is None

    @property
    def output(self) -> str:
        """All that it and those before it wrote."""
        return self.child.log.read_text(errors="replace")

    def launch(self) -> None:
        """Start it, without waiting for anything."""
        assert not self.running, f"{self._name} runs already"
        self._child = self._group.start(self._name, self._command, self._environment)

    def stop(self, within: float = 10.0) -> int:
        """End it politely; its exit code. Fails if it does not listen."""
        return self._end(signal.SIGTERM, within)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL, 5.0)

    def send(self, signum: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        os.kill(self.child.pid, signum)

    def _end(self, signum: signal.Signals, within: float) -> int:
        self.send(signum)
        return self.child.process.wait(within)
