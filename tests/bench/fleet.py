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
CANARIES = (0, 1, 10)
"""Of the services, how many have a canary with weight."""
PROXIES = 100
SECONDS = 10.0
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


async def share_of_core(made: Recording, canaries: int) -> list[Row]:
    """A controller with so many canaries, and its fleet."""
    async with AsyncExitStack() as stack:
        group = stack.enter_context(children())
        controller = ControllerProcess(group, {"HALDANE_LOG_LEVEL": "error"})
        await fill(controller.store, canaries)
        await controller.start()
        pid = controller.child.pid
        empty = resident(pid)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump([[message.hex() for message in kind] for kind in (made.loads, made.metrics)], file)
            file.flush()
            fleet = child("tests.bench.fleet_proxies", controller.xds, str(PROXIES), file.name)
            process = await stack.enter_async_context(fleet)
            await line(process)
        say(process, "sent")
        before, cpu, begun = await line(process), cpu_seconds(pid), time.monotonic()
        await asyncio.sleep(SECONDS)
        say(process, "sent")
        after, cpu, passed = await line(process), cpu_seconds(pid) - cpu, time.monotonic() - begun
        used = resident(pid) - empty
    case = f"{PROXIES} proxies, {SERVICES} services, {canaries} with a canary"
    return [
        Row("messages a second", case, (after - before) / passed, "/s"),
        Row("CPU of serve", case, 100 * cpu / passed, "% of a core"),
        Row("CPU of serve for each proxy", case, 1000 * cpu / passed / PROXIES, "ms/s"),
        Row("CPU of serve for each message", case, 1e6 * cpu / (after - before), "us"),
        Row("memory of serve for each proxy", case, 1000 * used / PROXIES, "KB"),
    ]


def run() -> list[Row]:
    """All of them."""
    made = asyncio.run(record(SERVICES))
    return [row for canaries in CANARIES for row in asyncio.run(share_of_core(made, canaries))]
