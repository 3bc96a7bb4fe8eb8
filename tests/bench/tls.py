"""What mutual TLS costs: a command's way to the last proxy, and a freeze, beside a controller without TLS, in turns.

Each proxy has a connection of its own, as Envoys do.
"""

import asyncio
import resource
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from controller.demo.harness.child_processes import Children, children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import KillSwitchStub
from tests.bench import Row
from tests.bench.crowd import OPENING, TABLE, child, line, say
from tests.bench.serve import LONG, SETTINGS, cpu, files, until
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.mutual_tls import FLEET, SecuredControllerProcess

PROXIES = 500
COMMANDS = 15
FREEZES = 100
TARGET = 1.5
"""How many times as long a command or a freeze may take."""


def connect(address: str, folder: str) -> grpc.aio.Channel:
    """A connection of its own; by mutual TLS if there is a folder with `tls.crt`, `tls.key` and `ca.crt`."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    if not folder:
        return grpc.aio.insecure_channel(address, options=options)
    ca, key, certificate = ((Path(folder) / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate), options=options)


@dataclass
class Side:
    """One of the two controllers, its operator and its crowd; and what was taken there, in ms."""

    process: ControllerProcess
    address: str
    """Of the admin API."""
    operator: str = ""
    """The folder of the operator's certificate."""
    fleet: str = ""
    """The folder of the fleet's certificate."""
    taken: dict[str, list[float]] = field(default_factory=dict)

    def channel(self) -> grpc.aio.Channel:
        """A new connection of the operator."""
        return connect(self.address, self.operator)

    def note(self, what: str, begun: float, ended: float) -> None:
        """Something took so long."""
        self.taken.setdefault(what, []).append(1000 * (ended - begun))


def sides(group: Children) -> dict[str, Side]:
    """Both, not yet started."""
    plain = ControllerProcess(group, SETTINGS, "plain")
    secured = SecuredControllerProcess(group, SETTINGS, "secured")
    certs = secured.certs
    address = secured.environment["HALDANE_ADMIN_LISTEN"]
    return {
        "plain": Side(plain, plain.admin),
        "TLS": Side(secured, address, str(certs / "operator-alice"), str(certs / f"fleet-{FLEET}")),
    }


async def command(side: Side, stubs: AdminStubs, crowd: asyncio.subprocess.Process) -> None:
    """A rollback, from the request to its answer and to the last proxy."""
    await stubs.rollouts.StartCanary(pb.StartCanaryRequest(service="s0000", canary="v2"), timeout=LONG)
    await until(stubs, "s0000", "WARMING")
    say(crowd, "mark")
    await line(crowd)
    spent, begun = cpu(side.process.child.pid), time.monotonic()
    await stubs.rollouts.Rollback(pb.RollbackRequest(service="s0000"), timeout=LONG)
    side.note("rollback to its answer", begun, time.monotonic())
    side.note("rollback to the last proxy", begun, (await line(crowd, LONG))["last"])
    await until(stubs, "s0000", "ROLLED_BACK")
    side.note("CPU of the controller for it", spent, cpu(side.process.child.pid))


async def freeze(side: Side, switch: KillSwitchStub, what: str) -> None:
    """A freeze, to its answer; and its end."""
    begun = time.monotonic()
    await switch.Freeze(pb.FreezeRequest(all=True, reason="bench"), timeout=LONG)
    side.note(what, begun, time.monotonic())
    await switch.Unfreeze(pb.UnfreezeRequest(all=True, reason="bench"), timeout=LONG)


async def freezes(both: dict[str, Side]) -> None:
    """On connections that stand, and then each on a new one."""
    async with AsyncExitStack() as stack:
        kept = {name: await stack.enter_async_context(side.channel()) for name, side in both.items()}
        for channel in kept.values():
            await channel.channel_ready()
        spent = {name: cpu(side.process.child.pid) for name, side in both.items()}
        for _ in range(FREEZES):
            for name, side in both.items():
                await freeze(side, KillSwitchStub(kept[name]), "freeze")  # type: ignore[no-untyped-call]
        for name, side in both.items():
            each = (cpu(side.process.child.pid) - spent[name]) / FREEZES
            side.note("CPU of the controller for a freeze and its end", 0.0, each)
    for _ in range(FREEZES):
        for side in both.values():
            async with side.channel() as channel:
                await freeze(side, KillSwitchStub(channel), "freeze on a new connection")  # type: ignore[no-untyped-call]


async def measure(both: dict[str, Side]) -> None:
    """Everything, in turns."""
    async with AsyncExitStack() as stack:
        crowds, stubs = {}, {}
        for name, side in both.items():
            await side.process.start(60)
            stubs[name] = await stack.enter_async_context(side.process.stubs())
            await stubs[name].catalog.ApplyServices(pb.ApplyServicesRequest(yaml=files(1)), timeout=LONG)
        await freezes(both)
        for name, side in both.items():
            words = [side.process.xds, str(PROXIES), str(PROXIES), "sotw", TABLE, str(OPENING)]
            begun = time.monotonic()
            crowds[name] = await stack.enter_async_context(
                child("tests.bench.clients", *words, *([side.fleet] if side.fleet else []))
            )
            await line(crowds[name], LONG)
            side.note("all proxies have joined after", begun, time.monotonic())
        for _ in range(COMMANDS):
            for name, side in both.items():
                await command(side, stubs[name], crowds[name])


def run() -> list[Row]:
    """Medians of both, and the second as a multiple of the first."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = []
    with children() as group:
        both = sides(group)
        asyncio.run(measure(both))
        for side in both.values():
            side.process.stop()
    for what, plain in both["plain"].taken.items():
        secured = both["TLS"].taken[what]
        for name, figures in (("plain", plain), ("mutual TLS", secured)):
            rows.append(Row(f"{what}, median", f"{PROXIES} proxies, {name}", statistics.median(figures), "ms"))
        # They were taken in turns, so what else the machine did then is in both.
        ratio = statistics.median(a / b for a, b in zip(secured, plain, strict=True) if b)
        rows.append(Row(f"{what}, TLS of plain", f"at most {TARGET:g} wanted", ratio, "x"))
    return rows
