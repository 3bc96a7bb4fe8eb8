"""Fixtures of the command line's tests: a controller's admin API, and `haldane` run against it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from controller.__main__ import main
from tests.builders import service_file
from tests.cli.admin_server import WITHIN, AdminServer
from tests.support.command import Done

Haldane = Callable[..., Done]
Process = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def server() -> Iterator[AdminServer]:
    """A controller's admin API over an empty store; its log stays apart from the output of the commands."""
    with capture_logs(), AdminServer() as opened:
        yield opened


@pytest.fixture
def haldane(server: AdminServer, capsys: pytest.CaptureFixture[str]) -> Haldane:
    """Runs `haldane` in this process against the server."""

    def run(*args: str) -> Done:
        capsys.readouterr()
        code = main(["--admin", server.address, *args])
        said = capsys.readouterr()
        return Done(int(code), said.out, said.err)

    return run


@pytest.fixture
def scorer(haldane: Haldane, tmp_path: Path) -> Path:
    """The file of the service `scorer` (v1 stable, v2, v3 without endpoints), applied."""
    path = tmp_path / "scorer.yaml"
    path.write_text(service_file())
    assert haldane("apply", "-f", str(path)).code == 0
    return path


@pytest.fixture
def process(server: AdminServer) -> Iterator[Process]:
    """Starts `haldane` as a process of its own against the server; ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*args: str, **options: Any) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "HALDANE_ADMIN": server.address, "PYTHONUNBUFFERED": "1"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-m", "controller", *args]
        child = subprocess.Popen(command, env=environment, bufsize=0, **{**pipes, **options})
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate(timeout=WITHIN)
