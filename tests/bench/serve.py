"""A whole controller (`haldane serve`) with many services and proxies, beside its xDS server alone.

Proxies are streams of the clients' process. CPU is the controller's, from /proc; times of the controller and of the
xDS server alone are taken in the same run.
"""

import asyncio
import os
import resource
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from controller.demo.harness.child_processes import Children, children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.bench import Row
from tests.bench.clients import LATE
from tests.bench.crowd import OPENING, TABLE, child, line, say
from tests.builders import service_file
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.waiting import wait_until

SETTINGS = {"HALDANE_LOG_LEVEL": "error"}
SERVICES = 1000
JOINING, OVER = 1000, 20
"""Proxies that join, and the connections that they share."""
STREAMS, CONNECTIONS = 5000, 50
COMMANDS = 7
KNOWN, MORE = (10, 980), 10
"""Services that are declared, and then commands of each kind."""
QUIET = 0.3
"""Seconds after the last command in which what follows from it is done."""
IDLE = 10.0
"""Seconds over which an idle controller's CPU is measured."""
TICKS = os.sysconf("SC_CLK_TCK")
LONG = 300.0
POLICY = "  steps: [20%, 50%]\n  dwell: 1h\n  warmup: 0s\n"


def cpu(process: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def files(count: int) -> list[str]:
    """So many service files, all on one port."""
    return [service_file(f"s{n:04}", 10_000, more=f"hosts: [s{n:04}.example]\n", policy=POLICY) for n in range(count)]


@asynccontextmanager
async def controller(group: Children, count: int, name: str) -> AsyncIterator[tuple[ControllerProcess, AdminStubs]]:
    """A controller with so many services."""
    config = group.folder / f"{name}.toml"
    config.write_text(f"[xds_limits]\nstreams = {4 * STREAMS}\n")
    process = ControllerProcess(group, {**SETTINGS, "HALDANE_CONFIG": str(config)}, name)
    await process.start(60)
    async with process.stubs() as stubs:
        await stubs.catalog.ApplyServices(pb.ApplyServicesRequest(yaml=files(count)), timeout=LONG)
        yield process, stubs


async def applying() -> list[Row]:
    """The same services to two controllers: one by one, and in one request."""
    texts, rows = files(SERVICES), []
    with children() as group:
        for how in ("one by one", "in one request"):
            process = ControllerProcess(group, SETTINGS, how.replace(" ", "-"))
            await process.start(60)
            async with process.stubs() as stubs:
                spent, begun = cpu(process.child.pid), time.monotonic()
                for some in [[text] for text in texts] if how == "one by one" else [texts]:
                    await stubs.catalog.ApplyServices(pb.ApplyServicesRequest(yaml=some), timeout=LONG)
                case = f"{SERVICES} services, {how}"
                rows.append(Row("apply, CPU of the controller", case, cpu(process.child.pid) - spent, "s"))
                rows.append(Row("apply", case, time.monotonic() - begun, "s"))
            process.stop()
    return rows


async def growing() -> list[Row]:
    """What one more service costs, and commands, where few and where many services are declared."""
    rows = []
    with children() as group:
        for count in KNOWN:
            texts = files(count + MORE)
            some = [f"s{number:04}" for number in range(MORE)]
            async with controller(group, count, f"growing-{count}") as (process, stubs):
                catalog, rollouts, switch = stubs.catalog, stubs.rollouts, stubs.killswitch
                calls: dict[str, tuple[Any, list[Any]]] = {
                    "apply": (catalog.ApplyServices, [pb.ApplyServicesRequest(yaml=[t]) for t in texts[count:]]),
                    "StartCanary": (
                        rollouts.StartCanary,
                        [pb.StartCanaryRequest(service=name, canary="v2") for name in some],
                    ),
                    "Rollback": (rollouts.Rollback, [pb.RollbackRequest(service=name) for name in some]),
                    "Freeze": (switch.Freeze, [pb.FreezeRequest(services=[name], reason="bench") for name in some]),
                }
                for what, (method, requests) in calls.items():
                    spent = cpu(process.child.pid)
                    for request in requests:
                        await method(request, timeout=LONG)
                    await asyncio.sleep(QUIET)
                    spent = cpu(process.child.pid) - spent
                    rows.append(Row(f"{what}, CPU of the controller", f"{count} services", 1000 * spent / MORE, "ms"))
            process.stop()
    return rows


async def idling() -> list[Row]:
    """What services cost that nothing happens to."""
    rows = []
    with children() as group:
        for count in (1, SERVICES):
            async with controller(group, count, f"idle-{count}") as (process, _):
                await asyncio.sleep(2)
                spent = cpu(process.child.pid)
                await asyncio.sleep(IDLE)
                share = 100 * (cpu(process.child.pid) - spent) / IDLE
                rows.append(Row("idle, of a core", f"{count} services", share, "%"))
            process.stop()
    return rows


async def join(address: str, stack: AsyncExitStack) -> tuple[asyncio.subprocess.Process, float]:
    """A crowd, and the seconds until the last of it has its routes."""
    words = (address, str(JOINING), str(OVER), "sotw", TABLE, str(OPENING))
    begun = time.monotonic()
    process = await stack.enter_async_context(child("tests.bench.clients", *words))
    await line(process, LONG)
    return process, time.monotonic() - begun


async def joining() -> list[Row]:
    """Proxies join a controller with many services, and the xDS server alone with the same; in turns."""
    taken: dict[str, list[tuple[float, float]]] = {"serve": [], "alone": []}
    with children() as group:
        async with (
            controller(group, SERVICES, "join") as (process, _),
            child("tests.bench.alone", str(SERVICES)) as bare,
        ):
            port = await line(bare, LONG)
            targets = {"serve": (process.xds, process.child.pid), "alone": (f"127.0.0.1:{port}", bare.pid)}
            for _ in range(3):
                for name, (address, pid) in targets.items():
                    async with AsyncExitStack() as stack:
                        spent = cpu(pid)
                        _, seconds = await join(address, stack)
                        taken[name].append((seconds, cpu(pid) - spent))
                    await asyncio.sleep(1)
        process.stop()
    case = f"{JOINING} proxies, {SERVICES} services"
    rows = []
    for number, what in enumerate(("time", "CPU")):
        ours, bare_ones = ([each[number] for each in taken[name]] for name in ("serve", "alone"))
        rows.append(Row(f"join, {what}: serve", case, statistics.median(ours), "s"))
        rows.append(Row(f"join, {what}: the xDS server alone", case, statistics.median(bare_ones), "s"))
        ratio = statistics.median(a / b for a, b in zip(ours, bare_ones, strict=True))
        rows.append(Row(f"join, {what}: serve of alone", case, ratio, "x"))
    return rows


async def commanding() -> list[Row]:
    """Commands while another rollout runs: until the answer, and until the first and the last proxy has the routes.

    All proxies are one process, which the machine must run beside the controller: in every other round they ACK only
    once the last has its routes, so that what it takes is the controller's.
    """
    case = f"{STREAMS} streams, {CONNECTIONS} connections, a rollout running"
    taken: dict[str, list[float]] = {}
    with children() as group:
        async with controller(group, 2, "commands") as (process, stubs), AsyncExitStack() as stack:
            words = (process.xds, str(STREAMS), str(CONNECTIONS), "sotw", TABLE, str(OPENING))
            crowd = await stack.enter_async_context(child("tests.bench.clients", *words))
            await line(crowd, LONG)
            await stubs.rollouts.StartCanary(pb.StartCanaryRequest(service="s0001", canary="v2"), timeout=LONG)
            await until(stubs, "s0001", "WARMING")
            for number in range(2 * COMMANDS):
                mode = ("at once", LATE)[number % 2]
                begun = time.monotonic()
                await stubs.rollouts.StartCanary(pb.StartCanaryRequest(service="s0000", canary="v2"), timeout=LONG)
                taken.setdefault("StartCanary to its answer", []).append(time.monotonic() - begun)
                await until(stubs, "s0000", "WARMING")
                say(crowd, mode)
                await line(crowd)
                begun, spent = time.monotonic(), cpu(process.child.pid)
                await stubs.rollouts.Rollback(pb.RollbackRequest(service="s0000"), timeout=LONG)
                taken.setdefault("Rollback to its answer", []).append(time.monotonic() - begun)
                arrived = await line(crowd, LONG)
                taken.setdefault("Rollback to the first proxy", []).append(arrived["first"] - begun)
                how = "ACKs at once" if mode != LATE else "ACKs after the last"
                taken.setdefault(f"Rollback to the last proxy, {how}", []).append(arrived["last"] - begun)
                taken.setdefault(f"CPU of the controller by then, {how}", []).append(cpu(process.child.pid) - spent)
                taken.setdefault(f"CPU of the proxies' process by then, {how}", []).append(arrived["cpu"])
                await until(stubs, "s0000", "ROLLED_BACK")
        process.stop()
    rows = []
    for what, seconds in taken.items():
        rows.append(Row(f"{what}, median", case, 1000 * statistics.median(seconds), "ms"))
        rows.append(Row(f"{what}, worst", case, 1000 * max(seconds), "ms"))
    return rows


async def until(stubs: AdminStubs, service: str, phase: str) -> None:
    """Wait until the service's rollout is in that phase, and every proxy serves it."""

    async def there() -> bool:
        rollout = await stubs.rollouts.GetRollout(pb.GetRolloutRequest(service=service), timeout=LONG)
        return rollout.phase == phase and rollout.proxies_synced == rollout.proxies_total > 0

    await wait_until(there, LONG, every=0.1)


def run() -> list[Row]:
    """All of them."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    for part in (applying, growing, idling, joining, commanding):
        rows += asyncio.run(part())
    return rows
