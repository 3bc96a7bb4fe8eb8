"""What the log looks like: lines for people on a terminal, JSON for machines anywhere else."""

import json
import os
import pty
import subprocess
import sys

from tests.support.unsafe_text import UNSAFE

LOGGING = """
import structlog
from controller.process.logs import configure_logs
configure_logs("info")
structlog.get_logger().info("serving", xds="127.0.0.1:18000")
"""


HOSTILE = """
import structlog
from controller.process.logs import configure_logs
configure_logs("info")
fact = "a\\x1b[2J\\x9b\\u202e\\u200bb\\nforged"
try:
    raise ValueError(fact)
except ValueError as error:
    structlog.get_logger().error("failed", reason=fact, facts={fact: [fact]}, exc_info=error)
"""


def logged_on_a_terminal(program: str = LOGGING) -> str:
    """What the program prints where standard error is a terminal."""
    reading, terminal = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", program], stderr=terminal, check=True, timeout=60)
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


def test_no_line_has_characters_that_mislead() -> None:
    """Not in a fact, nor within one, nor in the message of an error; a fact ends no line, so it forges none."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, check=True, timeout=60)
    (line,) = done.stderr.decode().splitlines()
    logged = json.loads(line)
    assert logged["reason"] == "a [2J b forged"
    assert not UNSAFE.search(json.dumps(logged, ensure_ascii=False).replace("\\n", ""))
    printed = logged_on_a_terminal(HOSTILE)
    assert "a [2J b forged" in printed
    for colour in ("\x1b[0m", "\x1b[1m", "\x1b[2m", *(f"\x1b[3{n}m" for n in range(10))):
        printed = printed.replace(colour, "")
    assert not UNSAFE.search(printed.replace("\r", "").replace("\n", ""))
