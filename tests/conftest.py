"""Fixtures for every test: processes that end with the test, and whose output is shown when it fails."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from controller.demo.harness.child_processes import Children
from tests.support.preloaded import PreloadedChildren
from tests.support.requires import in_ci, program_missing

if TYPE_CHECKING:  # loading it takes two seconds, which only the tests that use it pay
    from tests.support.model import ModelServer

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
"""Before gRPC is loaded: its fork handlers kill one of eight children that are started while a channel is open."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and so would the commands that tests end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is the machine's affair."""

asyncio.set_event_loop(None)  # else pytest-asyncio makes one when it looks for it, and no one closes that

structlog.configure(
    [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.set_exc_info,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
"""By default rich draws each traceback with every variable, for 0.1 s of CPU."""

_PROCESSES = pytest.StashKey[Children]()
_SHOWN = 40
"""Lines of each process that a failure shows."""


@pytest.fixture(autouse=True)
def _blame() -> Iterator[None]:
    """Collect a test's garbage at its own end, after its loop: a connection that it left open fails it and no other.

    What was there before is set aside, which makes that cheap.
    """
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Children]:
    """The test's processes, in a folder that outlives a failure; all of them end with the test."""
    group = request.node.stash[_PROCESSES] = PreloadedChildren(tmp_path)
    try:
        yield group
    finally:
        group.stop()


@pytest.fixture
async def model_server() -> AsyncIterator[Callable[[str], Awaitable["ModelServer"]]]:
    """Starts a model server of that version, which ends with the test."""
    from tests.support.model import ModelServer

    started: list[ModelServer] = []

    async def start(version: str) -> ModelServer:
        server = ModelServer(version)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.crash()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under xdist: modules that start processes first, the longest before the others, at all workers but one.

    Each worker is given a part of the list, and takes from the end of another's once it is through. So one of them
    computes while the others wait for processes, and none is left alone with a long test at the end. What is alike
    stays in the random order in which it comes.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers == 1:
        return
    modules: dict[Path, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.path, []).append(item)
    waiting = sorted(filter(_waits, modules.values()), key=_timeout, reverse=True)
    computing = [item for module in modules.values() if not _waits(module) for item in module]
    parts = [[item for module in waiting[part :: workers - 1] for item in module] for part in range(workers - 1)]
    for part in parts:
        missing = max(0, len(items) // workers - len(part))
        part += computing[:missing]
        del computing[:missing]
    items[:] = [item for part in (*parts, computing) for item in part]


def _waits(module: list[pytest.Item]) -> bool:
    """Whether tests of a module start processes, and so wait for most of their time."""
    return any("processes" in getattr(each, "fixturenames", ()) or each.get_closest_marker("envoy") for each in module)


def _timeout(module: list[pytest.Item]) -> float:
    """The longest timeout: long tests have one of their own."""
    marks = [mark for item in module if (mark := item.get_closest_marker("timeout"))]
    return max((float(mark.args[0]) for mark in marks), default=0.0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing. In CI that is a failure: no one reads there what was skipped."""
    if why := program_missing(item):
        pytest.fail(f"{why}: .ci/run installs it") if in_ci() else pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the last lines of its processes."""
    report = yield
    group = item.stash.get(_PROCESSES, None)
    if report.failed and group:
        for child in group:
            with contextlib.suppress(OSError):
                report.sections.append((f"last lines of {child.name} (pid {child.pid})", child.tail(_SHOWN)))
    return report
