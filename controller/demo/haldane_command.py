"""The `haldane` command, run as an operator would run it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from controller.demo.harness.child_processes import clean_environment

DEADLINE = 20.0
"""Seconds for one command."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, and what it printed on standard output and standard error."""

    code: int
    out: str
    err: str


async def run_haldane(env: Mapping[str, str], *words: str) -> CommandResult:
    """Run a `haldane` command.

    Raises `TimeoutError` after `DEADLINE`; the process is then killed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controller", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**clean_environment(), **env},
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return CommandResult(process.returncode or 0, _text(out), _text(err))


def _text(output: bytes) -> str:
    return output.decode(errors="replace").strip()
