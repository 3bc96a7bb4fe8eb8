"""Starting `tests.store.child`, talking with it, and ending it however the test wants."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
"""Seconds to wait for a child's next line: on a machine with much else to do, a start alone can take half a minute."""


class Child:
    """One child process. What it says are JSON lines."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.child", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout
        self._out = self.process.stdout.fileno()
        self._rest = b""

    def next(self) -> dict[str, Any]:
        """The next thing that it says."""
        end = time.monotonic() + PATIENCE
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._out, 65536) if ready else b""
            if not chunk:
                why = f"within {PATIENCE:g} s" if not ready else f"and ended with {self.process.wait()}"
                raise AssertionError(f"the child said nothing more {why}: {self.told()}")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return dict(json.loads(line))

    def kill(self) -> list[dict[str, Any]]:
        """kill -9: everything that it had said by then, and that was not read yet."""
        self.process.kill()
        self.process.wait()
        while chunk := os.read(self._out, 65536):
            self._rest += chunk
        whole, _, _ = self._rest.rpartition(b"\n")
        self._rest = b""
        return [json.loads(line) for line in whole.splitlines()]

    def told(self) -> str:
        """What it wrote to standard error; if it has not ended, with where it stands."""
        self.process.send_signal(signal.SIGABRT)
        assert self.process.stderr
        return self.process.stderr.read().decode(errors="replace")[-2000:]

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        self.process.wait()


@contextmanager
def child(*arguments: str) -> Iterator[Child]:
    """A child that ends with the block at the latest."""
    running = Child(*arguments)
    try:
        yield running
    finally:
        running.close()
