"""What a whole controller takes for a fleet of proxies that report to it, at rest and while canaries run.

`haldane serve` is a process of its own, and so is the fleet, which replays what a real Envoy with ten busy services
sent. Its CPU is read twice, some seconds apart. If it gets less than it needs, messages wait, which its memory shows.
"""

import asyncio
import json
import os
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from controller.demo.harness.child_processes import children
from controller.process.clock import SystemClock
from controller.store.sqlite import SqliteStore
from tests.bench import Row
from tests.bench.crowd import child, line, say
from tests.bench.intake import Recording, record
from tests.bench.xds import change
from tests.support.controller import ControllerProcess
from tests.xds.views import service

SERVICES = 10
CASES = ((100, 0), (100, 1), (100, 10), (300, 10), (1000, 10))
"""Proxies, and of their services how many have a canary with weight."""
JOINING = 120.0
"""Seconds in which all proxies should report; what is measured then is measured in any case."""
SETTLING, SECONDS = 5.0, 10.0
"""Seconds before the measurement, and of it."""
TICKS = os.sysconf("SC_CLK_TCK")


async def fill(path: Path, canaries: int) -> None:
    """A store with the services of the recording, the first of them in a rollout."""
    store = SqliteStore.open(path, clock=SystemClock())
    for number in range(SERVICES):
        canary = ("v2", 5000) if number < canaries else None
        state = service(f"s{number:04}", hosts=(f"s{number:04}.example",), canary=canary)
        await store.command(replace(change(to=state, expects=0), id=f"declare-{number}"))
    await store.close()


def cpu_seconds(pid: int) -> float:
    """The CPU that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> float:
    """MB of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Fleet(NamedTuple):
    """What the fleet's process says of itself: proxies that report, streams that the controller ended, messages."""

    standing: int
    lost: int
    sent: int


async def asked(process: asyncio.subprocess.Process) -> Fleet:
    """What the fleet says now."""
    say(process, "now")
    return Fleet(*await line(process))


async def standing(process: asyncio.subprocess.Process, proxies: int, within: float = JOINING) -> float:
    """Seconds until all proxies report, or `within` if they do not by then."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < within:
        if (await asked(process)).standing == proxies:
            return passed
        await asyncio.sleep(0.1)
    return within


async def share_of_core(made: Recording, proxies: int, canaries: int) -> list[Row]:
    """A controller with so many canaries, and its fleet."""
    async with AsyncExitStack() as stack:
        group = stack.enter_context(children())
        controller = ControllerProcess(group, {"HALDANE_LOG_LEVEL": "error"})
        await fill(controller.store, canaries)
        await controller.start(60)
        pid = controller.child.pid
        empty = resident(pid)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump([[message.hex() for message in kind] for kind in (made.loads, made.metrics)], file)
            file.flush()
            fleet = child("tests.bench.fleet_proxies", controller.xds, str(proxies), file.name)
            process = await stack.enter_async_context(fleet)
            joined = await standing(process, proxies)
        await asyncio.sleep(SETTLING)
        before, cpu, clients, begun = await asked(process), cpu_seconds(pid), cpu_seconds(process.pid), time.monotonic()
        await asyncio.sleep(SECONDS)
        after, cpu, passed = await asked(process), cpu_seconds(pid) - cpu, time.monotonic() - begun
        clients = cpu_seconds(process.pid) - clients
        used, sent = resident(pid) - empty, after.sent - before.sent
    case = f"{proxies} proxies, {SERVICES} services, {canaries} with a canary"
    return [
        Row("proxies that report", case, after.standing, ""),
        Row("all report after", case, joined, "s"),
        Row("streams that were ended", case, after.lost, ""),
        Row("messages a second", case, sent / passed, "/s"),
        Row("CPU of serve", case, 100 * cpu / passed, "% of a core"),
        Row("CPU of the proxies' process", case, 100 * clients / passed, "% of a core"),
        Row("CPU of serve for each proxy", case, 1000 * cpu / passed / proxies, "ms/s"),
        Row("CPU of serve for each message", case, 1e6 * cpu / max(sent, 1), "us"),
        Row("memory of serve for each proxy", case, 1000 * used / proxies, "KB"),
    ]


def run() -> list[Row]:
    """All of them."""
    made = asyncio.run(record(SERVICES))
    return [row for case in CASES for row in asyncio.run(share_of_core(made, *case))]
