"""How long `haldane` takes to start: the command line, and the controller until the first proxy has its routes.

What is loaded is measured apart from what is done with it. CPU is also given as a multiple of an empty Python's, which
stays when the machine is slower than usual.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import grpc

from controller.pb.haldane.wire.v1 import discovery_pb2 as pb
from controller.process.clock import SystemClock
from controller.store.sqlite import SqliteStore
from controller.xds.resources.type_urls import CDS, EDS, LDS, RDS
from controller.xds.server import ADS
from tests.bench import Row
from tests.bench.crowd import TABLE, many
from tests.bench.xds import change
from tests.support.process import free_port

TIMES = 7
EMPTY = ("-c", "pass")
COMMANDS = {
    "haldane --help": ("-m", "controller", "--help"),
    "haldane list, no controller": ("-m", "controller", "--admin", "127.0.0.1:1", "list"),
    "loading all of serve": ("-c", "import controller.app"),
}
SERVICES = (1, 100, 1000)
EAGER = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 20),
)


class Start(NamedTuple):
    """One start of a controller: milliseconds from exec to the open xDS port and to the first routes, and CPU."""

    listening: float
    routes: float
    cpu: float


def cpu_of(process: "subprocess.Popen[bytes]") -> float:
    """Milliseconds of CPU that a process has used; waits for its end."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return (usage.ru_utime + usage.ru_stime) * 1000


def run_python(*words: str) -> float:
    """Milliseconds of CPU of a Python with these arguments."""
    quiet = subprocess.DEVNULL
    return cpu_of(subprocess.Popen([sys.executable, *words], stdout=quiet, stderr=quiet))


def commands() -> list[Row]:
    """Every command and an empty Python, interleaved."""
    taken: dict[str, list[float]] = {what: [] for what in COMMANDS}
    ratios: dict[str, list[float]] = {what: [] for what in COMMANDS}
    for _ in range(TIMES):
        empty = run_python(*EMPTY)
        for what, words in COMMANDS.items():
            taken[what].append(run_python(*words))
            ratios[what].append(taken[what][-1] / empty)
    rows = []
    for what in COMMANDS:
        rows.append(Row("CPU of a command", what, statistics.median(taken[what]), "ms"))
        rows.append(Row("the same in empty Pythons", what, statistics.median(ratios[what]), "x"))
    return rows


async def fill(path: Path, count: int) -> None:
    """A store with so many services on one port."""
    store = SqliteStore.open(path, clock=SystemClock())
    for state in many(count):
        await store.command(replace(change(to=state, expects=0), id=f"declare-{state.name}"))
    await store.close()


def serve(environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """A controller as a process."""
    command = [sys.executable, "-m", "controller", "serve"]
    return subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL)


async def start(environment: Mapping[str, str], xds: str, services: int) -> Start:
    """Start a controller, and end it once a proxy has its routes."""
    begun = time.monotonic()
    process = serve(environment)
    try:
        async with asyncio.timeout(60), grpc.aio.insecure_channel(xds, EAGER) as channel:
            await channel.channel_ready()
            listening = time.monotonic() - begun
            await receive_routes(channel, services)
            routes = time.monotonic() - begun
    finally:
        process.terminate()
        cpu = cpu_of(process)
    return Start(listening * 1000, routes * 1000, cpu)


async def receive_routes(channel: grpc.aio.Channel, services: int) -> None:
    """Ask for everything, as Envoy does, until the route configuration is there."""
    call = channel.stream_stream(f"/{ADS}/StreamAggregatedResources")()
    names = [f"{state.name}/{version.name}" for state in many(services) for version in state.spec.versions]
    for type_url, asked in ((CDS, []), (EDS, names), (LDS, []), (RDS, [TABLE])):
        node = pb.Node(id="bench", cluster="edge") if type_url == CDS else None
        request = pb.DiscoveryRequest(type_url=type_url, resource_names=asked, node=node)
        await call.write(request.SerializeToString())
    while (head := pb.DiscoveryResponseHead.FromString(await call.read())).type_url != RDS:
        if head.type_url == CDS:  # routes wait for it
            await call.write(pb.DiscoveryRequest(type_url=CDS, response_nonce=head.nonce).SerializeToString())
    call.cancel()


async def cold_starts(count: int) -> list[Row]:
    """A controller with so many services, started again and again; beside it, what loading it takes."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "haldane.db"
        await fill(database, count)
        xds, admin, http = (f"127.0.0.1:{free_port()}" for _ in range(3))
        environment = {
            **os.environ,
            "HALDANE_STORE": f"sqlite:{database}",
            "HALDANE_XDS_LISTEN": xds,
            "HALDANE_ADMIN_LISTEN": admin,
            "HALDANE_HTTP_LISTEN": http,
        }
        starts, ratios = [], []
        for _ in range(TIMES):
            loading = run_python(*COMMANDS["loading all of serve"])
            starts.append(await start(environment, xds, count))
            ratios.append(starts[-1].cpu / loading)
    case = f"{count} services"
    return [
        Row("exec to the xDS port", case, statistics.median(each.listening for each in starts), "ms"),
        Row("exec to the first routes at a proxy", case, statistics.median(each.routes for each in starts), "ms"),
        Row("CPU of the whole run", case, statistics.median(each.cpu for each in starts), "ms"),
        Row("the same, in loads of the program", case, statistics.median(ratios), "x"),
    ]


def run() -> list[Row]:
    """All of them."""
    rows = commands()
    for count in SERVICES:
        rows += asyncio.run(cold_starts(count))
    return rows
