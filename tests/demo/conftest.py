"""Parts of the demo, for real: a model server as a process of its own."""

import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from controller.demo.harness.child_processes import Child, Children, children
from tests.support.process import free_port

READY_WITHIN = 30.0


@dataclass(frozen=True)
class Server:
    """A running model server."""

    child: Child
    url: str

    async def ask(self, body: bytes, timeout: float = 10.0) -> tuple[int, dict[str, object], str]:
        """Status, answer and version header of one inference."""
        limit = aiohttp.ClientTimeout(total=timeout)
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.post(f"{self.url}/v2/models/digits/infer", data=body) as response,
        ):
            return response.status, await response.json(), response.headers["model-version"]


Start = Callable[[str], Server]


@pytest.fixture(scope="session")
def group() -> Iterator[Children]:
    """Processes that end with the tests."""
    with children() as started:
        yield started


@pytest.fixture(scope="session")
def start_server(group: Children) -> Start:
    """Starts a model server with that fault, and waits until it is ready."""

    def start(fault: str) -> Server:
        port = free_port()
        words = ["--port", str(port), "--version", "v7", "--fault", fault]
        child = group.start(f"{fault}-{port}", [sys.executable, "-m", "controller.demo.model_server", *words])
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_ready(child, url), READY_WITHIN)
        return Server(child, url)

    return start


def is_ready(child: Child, url: str) -> bool:
    """Whether the server answers its health check."""
    child.check()
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait_for(seen: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so; a failure if it is not within that time."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def in_folder(folder: Path) -> list[int]:
    """The processes whose working directory is in that folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            where = (entry / "cwd").readlink()
        except OSError:
            continue
        if where.is_relative_to(folder):
            found.append(int(entry.name))
    return found
