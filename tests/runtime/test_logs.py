"""What the log looks like: lines for people on a terminal, JSON for machines anywhere else."""

import json
import os
import pty
import subprocess
import sys

LOGGING = """
import structlog
from controller.process.logs import configure_logs
configure_logs("info")
structlog.get_logger().info("serving", xds="127.0.0.1:18000")
"""


def logged_on_a_terminal() -> str:
    """What the program above prints where standard error is a terminal."""
    reading, terminal = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", LOGGING], stderr=terminal, check=True, timeout=60)
        os.write(terminal, b"\n")
        return os.read(reading, 65_536).decode()
    finally:
        os.close(reading)
        os.close(terminal)


def test_a_terminal_gets_readable_lines() -> None:
    """The event and its facts in words, no JSON."""
    printed = logged_on_a_terminal()
    assert "serving" in printed
    assert "127.0.0.1:18000" in printed
    assert "{" not in printed


def test_anything_else_gets_json() -> None:
    """One object a line, with the event, its level, its time and its facts."""
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, check=True, timeout=60)
    (line,) = done.stderr.decode().splitlines()
    assert json.loads(line).items() >= {"event": "serving", "level": "info", "xds": "127.0.0.1:18000"}.items()
