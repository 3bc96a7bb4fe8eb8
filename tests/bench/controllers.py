"""Several controllers on one machine beside one: a push to many proxies, and what proxies report.

The proxies are spread over the controllers, which share a store in etcd. Controllers, etcd and proxies share the
machine's cores, so beside the time there is the CPU of the busiest controller: what a push would take if every process
had a core of its own.
"""

import asyncio
import json
import shutil
import signal
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from controller.demo.harness.child_processes import Children, children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.store import Store
from controller.process.clock import SystemClock
from controller.process.descriptors import raise_descriptor_limit
from controller.store.etcd.client import EtcdClient
from controller.store.etcd.etcd_store import EtcdStore
from controller.store.sqlite import SqliteStore
from tests.bench import Row
from tests.bench.clients import LATE
from tests.bench.crowd import OPENING, TABLE, child, line, say
from tests.bench.fleet import SETTLING, asked, standing
from tests.bench.fleet_proxies import FAIL
from tests.bench.intake import Recording, record
from tests.bench.serve import LONG, POLICY, SETTINGS, cpu
from tests.bench.xds import change
from tests.builders import service_file
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.etcd import EtcdCluster, etcd_cluster
from tests.support.waiting import wait_until
from tests.xds.views import service

STREAMS, CONNECTIONS = 5000, 50
REPLICAS, OF_EACH, REPORTING = 3, 1000, 100
"""Controllers, the proxies of each, and of those the ones that report."""
ROUNDS = 3
"""Commands to each, in each of these ways."""
COMMANDS = 40
STOPPED = "stopped"
HOW = {"at once": "ACKs at once", LATE: "ACKs after the last", STOPPED: "proxies stopped"}
"""When the proxies ACK: at once; once the last of them has its routes; or once the controllers have sent everything, to
proxies that take no core from them meanwhile."""
QUIET = 5.0
"""Seconds for which nothing comes once everything has been sent."""
LOADS = ((1000, 1), (1000, 10), (300, 10))
"""Proxies that report, and their services, each with a canary."""
JOINING, SECONDS, FOUND_WITHIN = 60.0, 10.0, 60.0
"""Seconds in which all proxies should report, over which they are measured, and in which harm should be found."""
NAMES = {1: "one controller", 2: "two controllers", 3: "three controllers"}


def thread_time(pid: int) -> float:
    """Seconds of CPU of all threads of a process, to the microsecond."""
    return sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def workers_of(pid: int) -> list[int]:
    """The processes that this one has started, in this order."""
    return sorted(
        int(each) for task in Path(f"/proc/{pid}/task").glob("*/children") for each in task.read_text().split()
    )


def unread(ports: Collection[int]) -> int:
    """Bytes that have come from these ports and that their clients have not read."""
    lines = (each.split() for each in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(int(each[4].partition(":")[2], 16) for each in lines if int(each[2].partition(":")[2], 16) in ports)


@dataclass
class Group:
    """Controllers that share a store, or one with workers. The first process decides."""

    name: str
    members: list[ControllerProcess]
    taken: dict[str, list[float]] = field(default_factory=dict)
    """What was measured, in each round."""

    @property
    def xds(self) -> str:
        """Their addresses, for a crowd."""
        return ",".join(each.xds for each in self.members)

    def cpu(self) -> list[float]:
        """Seconds of CPU that each of their processes has used."""
        return [thread_time(pid) for each in self.members for pid in (each.child.pid, *workers_of(each.child.pid))]

    async def sent(self) -> tuple[float, list[float]]:
        """Wait until nothing more comes to proxies that do not read: when the last of it had come, on the monotonic
        clock, and the CPU that each controller had used by then."""
        ports = {int(each.xds.rpartition(":")[2]) for each in self.members}
        waiting, last, used = unread(ports), time.monotonic(), self.cpu()
        while time.monotonic() - last < QUIET:
            await asyncio.sleep(0.01)
            if (now := unread(ports)) != waiting:
                waiting, last, used = now, time.monotonic(), self.cpu()
        return last, used

    def note(self, what: str, value: float) -> None:
        """It was measured once more."""
        self.taken.setdefault(what, []).append(value)

    async def start(self) -> None:
        """Start them one after the other, so that the first one decides."""
        for each in self.members:
            await each.start(LONG)


def with_a_file(processes: Children, workers: int = 1) -> Group:
    """One controller with its store in a file, of so many processes."""
    settings = {**bench_settings(processes), "HALDANE_WORKERS": str(workers)}
    name = "a file" if workers == 1 else f"a file, {workers} workers"
    return Group(name, [ControllerProcess(processes, settings, f"file-{uuid.uuid4().hex[:6]}")])


def bench_settings(processes: Children) -> dict[str, str]:
    """What all of them have."""
    config = processes.folder / "settings.toml"
    config.write_text(f"[xds_limits]\nstreams = {4 * STREAMS}\n")
    return {**SETTINGS, "HALDANE_CONFIG": str(config), "HALDANE_SYNC_SHARE": "0.5"}


def grouped(processes: Children, cluster: EtcdCluster, count: int) -> Group:
    """So many controllers over a part of that etcd of their own; 0 is one with a file."""
    if not count:
        return with_a_file(processes)
    settings = bench_settings(processes)
    prefix = f"/{uuid.uuid4().hex[:8]}"
    members = []
    for number in range(count):
        name = f"{prefix[1:]}-{number}"
        own = {
            "HALDANE_STORE": f"etcd:{','.join(cluster.endpoints)}?prefix={prefix}",
            "HALDANE_NAME": name,
            "HALDANE_ADMIN_SOCKET": "none",
            "HALDANE_HTTP_SOCKET": "none",
            "XDG_STATE_HOME": str(processes.folder / name),
        }
        members.append(ControllerProcess(processes, {**settings, **own}, name))
    return Group(NAMES[count], members)


# A push.


@dataclass
class Crowd:
    """Controllers, an operator of the one that decides, and the process of the proxies."""

    group: Group
    stubs: AdminStubs
    process: asyncio.subprocess.Process
    streams: int

    async def until(self, phase: str) -> None:
        """Wait until the rollout is in that phase, and every stream's ACK is known."""

        async def there() -> bool:
            rollout = await self.stubs.rollouts.GetRollout(pb.GetRolloutRequest(service="s0001"), timeout=LONG)
            return rollout.phase == phase and rollout.proxies_synced >= self.streams

        await wait_until(there, LONG, every=0.1)

    async def rollback(self) -> float:
        """Seconds from a rollback until the last proxy has its routes."""
        await self.stubs.rollouts.StartCanary(pb.StartCanaryRequest(service="s0001", canary="v2"), timeout=LONG)
        await self.until("WARMING")
        say(self.process, "at once")
        await line(self.process)
        begun = time.monotonic()
        await self.stubs.rollouts.Rollback(pb.RollbackRequest(service="s0001"), timeout=LONG)
        arrived: float = (await line(self.process, LONG))["last"]
        await self.until("ROLLED_BACK")
        return arrived - begun

    async def command(self, mode: str) -> None:
        """A rollback: until the last proxy has its routes, and until the one that decides knows that it has ACKed."""
        group, stubs = self.group, self.stubs
        how = HOW[mode]
        await stubs.rollouts.StartCanary(pb.StartCanaryRequest(service="s0001", canary="v2"), timeout=LONG)
        await self.until("WARMING")
        say(self.process, LATE if mode == STOPPED else mode)
        await line(self.process)
        begun, spent = time.monotonic(), group.cpu()
        if mode == STOPPED:
            self.process.send_signal(signal.SIGSTOP)
        await stubs.rollouts.Rollback(pb.RollbackRequest(service="s0001"), timeout=LONG)
        if mode == STOPPED:
            last, cpu_by_then = await group.sent()
            group.note(f"rollback to the last byte sent, {how}", 1000 * (last - begun))
            used = since(spent, cpu_by_then)
            self.process.send_signal(signal.SIGCONT)
            await line(self.process, LONG)
        else:
            arrived = await line(self.process, LONG)
            used = since(spent, group.cpu())
            group.note(f"rollback to the first proxy, {how}", 1000 * (arrived["first"] - begun))
            group.note(f"rollback to the last proxy, {how}", 1000 * (arrived["last"] - begun))
            group.note(f"CPU of the proxies' process by then, {how}", 1000 * arrived["cpu"])
        group.note(f"CPU of the busiest controller by then, {how}", 1000 * max(used))
        group.note(f"CPU of all controllers by then, {how}", 1000 * sum(used))
        await self.until("ROLLED_BACK")
        whole = since(spent, group.cpu())
        group.note(f"rollback to all ACKs known, {how}", 1000 * (time.monotonic() - begun))
        group.note(f"CPU of the busiest controller for all ACKs, {how}", 1000 * max(whole))
        group.note(f"CPU of the one that decides for all ACKs, {how}", 1000 * whole[0])
        group.note(f"CPU of all controllers for all ACKs, {how}", 1000 * sum(whole))


def since(before: list[float], now: list[float]) -> list[float]:
    """What each has used since then."""
    return [late - early for early, late in zip(before, now, strict=True)]


@asynccontextmanager
async def crowded(group: Group, streams: int, *, at_the_last: bool = False) -> AsyncIterator[Crowd]:
    """The group is started, has two services, and so many streams; those, and the operator, are spread over it and at
    the one that decides, or all at the last one."""
    await group.start()
    asked, xds = (group.members[-1], group.members[-1].xds) if at_the_last else (group.members[0], group.xds)
    async with asked.stubs() as stubs, AsyncExitStack() as stack:
        texts = [service_file(f"s{n:04}", 10_000, more=f"hosts: [s{n:04}.example]\n", policy=POLICY) for n in (0, 1)]
        await stubs.catalog.ApplyServices(pb.ApplyServicesRequest(yaml=texts), timeout=LONG)
        words = (xds, str(streams), str(max(CONNECTIONS, len(group.members))), "sotw", TABLE, str(OPENING))
        process = await stack.enter_async_context(child("tests.bench.clients", *words))
        await line(process, LONG)
        yield Crowd(group, stubs, process, streams)


async def pushing(cluster: EtcdCluster) -> list[Row]:
    """The same commands to one controller with a file, to one with two workers, and to two over etcd, in turns."""
    with children() as processes:
        return await compared([with_a_file(processes), with_a_file(processes, 2), grouped(processes, cluster, 2)])


async def with_workers() -> list[Row]:
    """The first two of these."""
    with children() as processes:
        return await compared([with_a_file(processes), with_a_file(processes, 2)])


async def compared(groups: list[Group]) -> list[Row]:
    """Commands to each, in turns."""
    case = f"{STREAMS} streams"
    async with AsyncExitStack() as stack:
        crowds = [await stack.enter_async_context(crowded(group, STREAMS)) for group in groups]
        for mode in [*HOW] * ROUNDS:
            for crowd in crowds:
                await crowd.command(mode)
    rows = [row for group in groups for row in medians(group, case)]
    return rows + [row for other in groups[1:] for row in ratios(groups[0], other, case)]


async def through_a_follower(cluster: EtcdCluster) -> list[Row]:
    """A command at a controller that does not decide until a proxy of its own has the routes, in turns with one at a
    controller with a file."""
    taken: dict[str, list[float]] = {"a file": [], "a follower": []}
    with children() as processes:
        async with AsyncExitStack() as stack:
            groups = [grouped(processes, cluster, count) for count in (0, 2)]
            crowds = [await stack.enter_async_context(crowded(group, 1, at_the_last=True)) for group in groups]
            for _ in range(COMMANDS):
                for crowd, times in zip(crowds, taken.values(), strict=True):
                    times.append(1000 * await crowd.rollback())
    rows = []
    for where, times in taken.items():
        cuts = statistics.quantiles(times, n=10)
        rows += [
            Row(f"rollback to the proxy, {name}", where, cuts[at], "ms") for name, at in (("median", 4), ("p90", 8))
        ]
    ratio = statistics.median(b / a for a, b in zip(*taken.values(), strict=True))
    return [*rows, Row("rollback to the proxy", "a follower, of a file", ratio, "x")]


async def replicas(cluster: EtcdCluster, made: Recording) -> list[Row]:
    """Three controllers with a thousand proxies each, beside one with a thousand, while a rollout runs. A tenth of the
    proxies report on it."""
    rows, groups = [], []
    with children() as processes, messages(made) as file:
        async with AsyncExitStack() as stack:
            crowds = []
            for count in (1, REPLICAS):
                group = grouped(processes, cluster, count)
                crowd = await stack.enter_async_context(crowded(group, count * OF_EACH))
                words = (group.xds, str(count * REPORTING), file, "reporting")
                fleet = await stack.enter_async_context(child("tests.bench.fleet_proxies", *words))
                await standing(fleet, count * REPORTING, JOINING)
                await crowd.stubs.rollouts.StartCanary(
                    pb.StartCanaryRequest(service="s0000", canary="v2"), timeout=LONG
                )
                crowds.append((crowd, fleet))
                groups.append(group)
            for mode in [*HOW] * ROUNDS:
                for crowd, fleet in crowds:
                    before, begun = await asked(fleet), time.monotonic()
                    await crowd.command(mode)
                    after = await asked(fleet)
                    crowd.group.note("messages a second", (after.sent - before.sent) / (time.monotonic() - begun))
    for group in groups:
        rows += medians(group, f"{OF_EACH} proxies each, {REPORTING} of them report")
    return rows + ratios(groups[0], groups[1], f"{REPLICAS * OF_EACH} proxies on three, {OF_EACH} on one")


def medians(group: Group, case: str) -> list[Row]:
    """What was measured of that group."""
    case = f"{group.name}, {case}"
    return [
        Row(what, case, statistics.median(each), "/s" if what.endswith("second") else "ms")
        for what, each in group.taken.items()
    ]


def ratios(one: Group, other: Group, case: str) -> list[Row]:
    """The other group's figures in those of the one: medians over the pairs of rounds."""
    case = f"{other.name} of {one.name}, {case}"
    return [
        Row(what, case, statistics.median(b / max(a, 1.0) for a, b in zip(one.taken[what], each, strict=True)), "x")
        for what, each in other.taken.items()
    ]


# What proxies report.


async def fill(group: Group, cluster: EtcdCluster, services: int) -> None:
    """The group's store gets so many services, each in a rollout."""
    async with opened(group, cluster) as store:
        for number in range(services):
            state = service(f"s{number:04}", hosts=(f"s{number:04}.example",), canary=("v2", 5000))
            await store.command(replace(change(to=state, expects=0), id=f"declare-{number}"))


@asynccontextmanager
async def opened(group: Group, cluster: EtcdCluster) -> AsyncIterator[Store]:
    """The store of a group that does not run."""
    first = group.members[0]
    prefix = first.environment["HALDANE_STORE"].partition("prefix=")[2]
    if not prefix:
        file = SqliteStore.open(first.store, clock=SystemClock())
        yield file
        await file.close()
        return
    with tempfile.TemporaryDirectory() as folder:
        client = EtcdClient(cluster.endpoints)
        store = await EtcdStore.open(client, prefix, clock=SystemClock(), folder=Path(folder))
        yield store
        await store.close()


class messages:  # noqa: N801
    """A file with the recorded messages, for as long as the block."""

    def __init__(self, made: Recording) -> None:
        self._made = made
        self._file = tempfile.NamedTemporaryFile("w", suffix=".json")  # noqa: SIM115  # it ends with the block

    def __enter__(self) -> str:
        """The name of the file."""
        json.dump([[each.hex() for each in kind] for kind in (self._made.loads, self._made.metrics)], self._file)
        self._file.flush()
        return self._file.name

    def __exit__(self, *_: object) -> None:
        """It is gone."""
        self._file.close()


async def reporting(cluster: EtcdCluster, made: Recording, proxies: int, count: int) -> list[Row]:
    """A fleet that reports to so many controllers; 0 is one with a file. At the end every canary fails."""
    with children() as processes, messages(made) as file:
        group = grouped(processes, cluster, count)
        await fill(group, cluster, made.services)
        await group.start()
        words = (group.xds, str(proxies), file)
        async with group.members[0].stubs() as stubs, child("tests.bench.fleet_proxies", *words) as fleet:
            joined = await standing(fleet, proxies, JOINING)
            await asyncio.sleep(SETTLING)
            before, spent, begun = await asked(fleet), group.cpu(), time.monotonic()
            clients = cpu(fleet.pid)
            await asyncio.sleep(SECONDS)
            passed, after = time.monotonic() - begun, await asked(fleet)
            used = [(late - early) / passed for early, late in zip(spent, group.cpu(), strict=True)]
            clients = (cpu(fleet.pid) - clients) / passed
            found = await harm_found(stubs, fleet)
    case = f"{group.name}, {proxies} proxies, {made.services} services with a canary"
    sent = (after.sent - before.sent) / passed
    rows = [
        Row("proxies that report", case, after.standing, ""),
        Row("all report after, or until then not all", case, joined, "s"),
        Row("streams that were ended", case, after.lost, ""),
        Row("messages a second", case, sent, "/s"),
        Row("CPU of the one that decides", case, 100 * used[0], "% of a core"),
        Row("CPU of the proxies' process", case, 100 * clients, "% of a core"),
        Row("CPU of all controllers for each message", case, 1e6 * sum(used) / max(sent, 1.0), "us"),
        Row("every canary fails -> rolled back, or until then not", case, found, "s"),
    ]
    return rows + [Row("CPU of another one", case, 100 * each, "% of a core") for each in used[1:]]


async def harm_found(stubs: AdminStubs, fleet: asyncio.subprocess.Process) -> float:
    """Seconds from the first failure to the rollback of the first service."""
    begun = time.monotonic()
    say(fleet, FAIL)
    await line(fleet)

    async def found() -> bool:
        rollout = await stubs.rollouts.GetRollout(pb.GetRolloutRequest(service="s0000"), timeout=LONG)
        return rollout.phase in ("ROLLING_BACK", "ROLLED_BACK") or time.monotonic() - begun > FOUND_WITHIN

    await wait_until(found, LONG, every=0.2)
    return time.monotonic() - begun


async def measured(folder: Path) -> list[Row]:
    """All of it."""
    recordings = {services: await record(services) for services in sorted({services for _, services in LOADS})}
    with etcd_cluster(folder) as cluster:
        rows = [*await pushing(cluster), *await through_a_follower(cluster)]
        rows += await replicas(cluster, recordings[1])
        for proxies, services in LOADS:
            for count in (0, 2):
                rows += await reporting(cluster, recordings[services], proxies, count)
    return rows


def run() -> list[Row]:
    """All of it; nothing where etcd is not installed."""
    if not shutil.which("etcd"):
        return []
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(Path(folder)))
