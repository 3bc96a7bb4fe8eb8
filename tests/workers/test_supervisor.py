"""Processes that end are started again, and all end with the first one."""

import sys

from controller.workers.supervisor import Supervisor
from tests.support.waiting import wait_until

READS = [sys.executable, "-c", "import sys; sys.stdin.read()"]
"""Ends when its input does."""
STUBBORN = [sys.executable, "-c", "import time; time.sleep(600)"]
ENDS = [sys.executable, "-c", "import sys; sys.exit(3)"]


async def test_workers_end_when_their_input_does() -> None:
    """Nothing is killed, and nothing counts as an end."""
    supervisor = Supervisor(READS, {2: b"order", 3: b"order"}, drain=30.0)
    async with supervisor.running():
        await wait_until(lambda: all("starting" in supervisor.why_away(each) for each in (2, 3)))
    assert supervisor.ends == {2: 0, 3: 0}


async def test_one_that_does_not_end_is_killed() -> None:
    """After the time to drain."""
    supervisor = Supervisor(STUBBORN, {2: b""}, drain=0.1)
    async with supervisor.running():
        await wait_until(lambda: "starting" in supervisor.why_away(2))
    assert supervisor.why_away(2) == "it waits to be started"


async def test_one_that_ends_is_started_again() -> None:
    """And it is said how it ended."""
    supervisor = Supervisor(ENDS, {2: b""}, drain=5.0)
    async with supervisor.running():
        await wait_until(lambda: supervisor.ends[2] >= 2)
        assert "exit code 3" in supervisor.why_away(2)


async def test_one_that_cannot_be_started_is_tried_again() -> None:
    """It is an end like any other."""
    supervisor = Supervisor(["/nowhere/at/all"], {2: b""}, drain=5.0)
    async with supervisor.running():
        await wait_until(lambda: supervisor.ends[2] >= 2)
        assert "No such file" in supervisor.why_away(2)
