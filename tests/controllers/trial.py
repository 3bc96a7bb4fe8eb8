"""Three controllers over etcd, two Envoys (Delta and SotW) under load, and everybody who saw what happened."""

import asyncio
import contextlib
import json
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import aiohttp
import grpc

from controller.bootstrap import render
from controller.cli.ledger_verification import verify_events
from controller.demo.ha.etcd_members import EtcdMembers
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.harness.request_result import RequestResult
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import ControllersStub
from controller.xds.resources.resource_version import parse_version
from tests.builders import service_file
from tests.controllers.conftest import Make
from tests.faults.split_watcher import Split, read_split
from tests.faults.trial import POLICY, decided, in_order
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.envoy import EnvoyProcess
from tests.support.load import steady
from tests.support.model import ModelServer
from tests.support.process import free_port
from tests.support.switch import Switch, switch
from tests.support.waiting import answers, wait_until

SERVICE, FLEET = "fraud-scorer", "edge"
RATE = 50.0
"""Requests a second, through both Envoys together: the kernel spreads connections (SO_REUSEPORT)."""
LOOK_EVERY = 0.05
SHOWN = ("time", "status", "flags", "details", "duration_ms", "attempts", "cluster", "endpoint", "bytes_received")
"""What is shown of a request that ended badly."""
TTL = 2
"""Seconds of the lease, unless another one is asked for."""
LONG_TTL = 5
"""The same for long trials. On a machine that is ten times too busy a lease of two seconds is not renewed in time: the
leader changed 45 times in 140 s, and a rollout came no further."""
PATIENCE = 60
"""Seconds until Envoy gives a request up: the model servers share this process with all that watches, and on a busy
machine it stands still for longer than any service would be given."""
STARTS_WITHIN = 120.0
"""Seconds until a controller is ready, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Served:
    """What an Envoy had at a moment: the revision of its route configuration, and the split."""

    envoy: str
    at: float
    revision: int
    split: Split


@dataclass
class Counts:
    """What went wrong; all of it should be 0."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    """Each with what its client saw."""
    uncommitted: int = 0
    """Splits at an Envoy that the ledger does not have at that revision."""
    conflicting: int = 0
    """Revisions at which two splits were served."""
    back: int = 0
    """Envoys that went back to an older split."""
    freezes_lost: int = 0
    broken: str = ""
    """Why the ledger's chain does not hold."""

    @property
    def wrong(self) -> dict[str, object]:
        """Those that are not 0."""
        every = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "requests"}
        return {name: value for name, value in every.items() if value}


class Member(Protocol):
    """A member of etcd."""

    def kill(self) -> None:
        """kill -9, and wait for its end."""


class Members(Protocol):
    """The members of etcd."""

    @property
    def members(self) -> Sequence[Member]:
        """All of them."""

    def start_missing(self) -> None:
        """Start those that do not run."""


@dataclass
class Trial:
    """What runs, and what was seen."""

    controllers: list[ControllerProcess]
    members: Members
    models: dict[str, ModelServer]
    loads: list[LoadGenerator]
    envoys: list[EnvoyProcess]
    ways: dict[str, list[Switch]] = field(default_factory=dict)
    """By the name of a controller: its ways to each member of etcd."""
    seen: list[Served] = field(default_factory=list)
    blamed: set[str] = field(default_factory=set)
    """The versions that may fail, since the test makes them."""
    ttl: int = TTL
    lost: int = 0
    canary: str = ""
    """That of the newest rollout."""
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """When this process stood still, with its clients and its model servers, and for how many seconds."""
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    # Who runs, and who decides.

    def running(self) -> Iterator[ControllerProcess]:
        """The controllers that have a process."""
        return (each for each in self.controllers if each.running)

    async def leader(self, *, other_than: ControllerProcess | None = None, within: float = 60.0) -> ControllerProcess:
        """Wait until one decides."""

        async def found() -> ControllerProcess | None:
            for asked in self.running():
                if asked is other_than:
                    continue
                with contextlib.suppress(grpc.RpcError, TimeoutError):
                    name = await leading(asked)
                    for each in self.running():
                        if each is not other_than and each.environment["HALDANE_NAME"] == name:
                            return each
            return None

        decided_by: ControllerProcess = await wait_until(found, within, every=0.05)
        return decided_by

    @contextlib.asynccontextmanager
    async def stubs(self, among: Sequence[ControllerProcess] = ()) -> AsyncIterator[AdminStubs]:
        """The admin API of a running controller, taken at random."""
        chosen = self.dice.choice(list(among or self.running()))
        async with chosen.stubs() as stubs:
            yield stubs

    async def insist(self, ask: Callable[[AdminStubs], object], within: float = 40.0) -> object:
        """The first true answer of any controller."""

        async def answered() -> object:
            with contextlib.suppress(grpc.RpcError, TimeoutError):
                async with asyncio.timeout(4), self.stubs() as stubs:
                    return await ask(stubs)  # type: ignore[misc]
            return None

        return await wait_until(answered, within, every=0.1)

    # What operators do.

    async def start(self) -> str:
        """Start the version that is not stable, and wait until both Envoys serve it: its name."""
        await self.until_served(lambda split: len(split) == 1)
        self.canary = canary = "v2" if "v1" in self.split("envoy-0") else "v1"
        await self.insist(lambda stubs: _start(stubs, canary))
        await self.until_served(lambda split: canary in split)
        return canary

    async def rollout(self) -> pb.Rollout:
        """The rollout, as any controller tells it."""
        request = pb.GetRolloutRequest(service=SERVICE)
        told = await self.insist(lambda stubs: stubs.rollouts.GetRollout(request))
        assert isinstance(told, pb.Rollout)
        return told

    async def ended(self, phase: str, within: float = 60.0) -> None:
        """Wait until the newest rollout has ended, as one of the controllers says. Fails unless it ended in that
        phase."""
        last = pb.Rollout()

        async def is_over() -> bool:
            nonlocal last
            last = await self.rollout()
            return last.canary == self.canary and last.phase in ("PROMOTED", "ROLLED_BACK")

        try:
            await wait_until(is_over, within, every=0.2)
        finally:
            if last.phase != phase:
                print(f"the rollout has not ended {phase} but is:\n{last}", flush=True)
        assert last.phase == phase

    async def events(self) -> list[pb.Event]:
        """The whole ledger."""
        events: list[pb.Event] = []
        while True:
            request = pb.ListEventsRequest(after=events[-1].sequence if events else 0)
            told = await self.insist(lambda stubs, request=request: _list(stubs, request))
            assert isinstance(told, list)
            events += told[0]
            if len(told[0]) < 1000:
                return events

    # What Envoys serve.

    def split(self, envoy: str) -> Split:
        """The newest one."""
        return next((each.split for each in reversed(self.seen) if each.envoy == envoy), {})

    async def until_served(self, holds: Callable[[Split], bool], within: float = 60.0) -> None:
        """Wait until it holds of both Envoys' splits."""
        names = [f"envoy-{n}" for n in range(len(self.envoys))]
        await wait_until(lambda: all(holds(self.split(name)) for name in names), within)

    async def watch(self, envoy: EnvoyProcess, name: str) -> None:
        """Look at an Envoy's route configuration, until cancelled."""
        url = f"http://{envoy.host}:{envoy.admin}/config_dump?resource=dynamic_route_configs"
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.get(url) as response:
                    dump = await response.json(content_type=None)
                if dump.get("configs"):
                    version = parse_version(dump["configs"][0]["version_info"])
                    assert version, dump
                    served = Served(name, time.monotonic(), version.revision, read_split(dump))
                    last = next((each for each in reversed(self.seen) if each.envoy == name), None)
                    if last is None or (last.revision, last.split) != (served.revision, served.split):
                        self.seen.append(served)
                await asyncio.sleep(LOOK_EVERY)

    async def check(self) -> Counts:
        """What went wrong so far."""
        events = await self.events()
        counts = Counts(requests=sum(len(load.results) for load in self.loads), freezes_lost=self.lost)
        counts.failed = [
            f"{name}: {self.explained(name, result)}"
            for name, result in self.results()
            if not result.ok and result.version not in self.blamed
        ]
        chain = verify_events(events, whole=True)
        counts.broken = chain.why if chain.broken is not None else ""
        committed = {e.revision: s for e in events if e.weights_after for s in decided([e])}
        by_revision: dict[int, list[Split]] = {}
        for each in self.seen:
            by_revision.setdefault(each.revision, []).append(each.split)
            at = max((revision for revision in committed if revision <= each.revision), default=0)
            counts.uncommitted += committed.get(at) != each.split
        counts.conflicting = sum(any(s != splits[0] for s in splits) for splits in by_revision.values())
        for name in {each.envoy for each in self.seen}:
            splits = [each.split for each in self.seen if each.envoy == name]
            distinct = [one for one, before in zip(splits, [None, *splits], strict=False) if one != before]
            counts.back += not in_order(distinct, decided(events))
        return counts

    def forget(self) -> None:
        """Begin to count anew. What Envoys served is kept: they must not go back to it."""
        for load in self.loads:
            load.results.clear()
        self.lost = 0
        self.stalls.clear()

    def results(self) -> Iterator[tuple[str, RequestResult]]:
        """How requests ended, each with the name of the client that sent it."""
        for number, load in enumerate(self.loads):
            for result in load.results:
                yield f"client-{number}", result

    def explained(self, client: str, result: RequestResult) -> str:
        """What is known of a request that failed: what its client saw, what Envoys logged meanwhile, and whether this
        process stood still."""
        still = [taken for at, taken in self.stalls if at - taken <= result.ended and result.sent <= at]
        since = time.time() - time.monotonic() + result.sent
        logged = [line for envoy in self.envoys for line in bad_ends(envoy, since, since + result.milliseconds / 1000)]
        given = {version: dict(model.given) for version, model in self.models.items()}
        return (
            f"sent {datetime.fromtimestamp(since, UTC):%H:%M:%S.%f}: {result.source}: {result.outcome} {result.status} "
            f"after {result.milliseconds:.0f} ms; Envoys: {logged or 'nothing'}; this process stood still {still}; "
            f"the models answered {given}"
        )

    async def note_stalls(self) -> None:
        """Note when this process stands still: its clients and its model servers do nothing then."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            if now - before > 10 * LOOK_EVERY:
                self.stalls.append((now, now - before))

    async def dwell(self, seconds: float) -> None:
        """Let the load go on for so long."""
        until = time.monotonic() + seconds
        await wait_until(lambda: time.monotonic() > until, seconds + 30)

    # Faults, each with its end.

    async def kill_leader(self) -> None:
        """kill -9 of the one that decides; it comes back."""
        leader = await self.leader()
        leader.kill()
        await self.leader(other_than=leader)
        await leader.start(STARTS_WITHIN)

    async def pause_leader(self) -> None:
        """SIGSTOP beyond the lease, and back."""
        leader = await self.leader()
        leader.send(signal.SIGSTOP)
        try:
            await self.leader(other_than=leader)
            await self.dwell(self.ttl)
        finally:
            leader.send(signal.SIGCONT)

    async def cut_leader_off(self) -> None:
        """Nothing passes any more between the leader and etcd, in either direction: dropped, not reset; and back."""
        leader = await self.leader()
        ways = self.ways[leader.environment["HALDANE_NAME"]]
        for way in ways:
            way.hold()
        try:
            await self.leader(other_than=leader)
            await self.dwell(self.ttl)
        finally:
            for way in ways:
                way.release()
        await wait_until(leader.ready, STARTS_WITHIN)

    async def kill_member(self) -> None:
        """kill -9 of one member of etcd; it comes back."""
        self.dice.choice(self.members.members).kill()
        await self.dwell(3.0)
        self.members.start_missing()

    async def lose_quorum(self, seconds: float) -> None:
        """kill -9 of two members for so long."""
        for member in self.dice.sample(self.members.members, 2):
            member.kill()
        await self.dwell(seconds)
        self.members.start_missing()
        await self.leader()

    async def roll_everything(self) -> None:
        """Each controller and each member in turn, politely."""
        for each in self.controllers:
            await asyncio.to_thread(each.stop, 30)
            await each.start(STARTS_WITHIN)
        for member in self.members.members:
            member.kill()
            self.members.start_missing()
            await self.leader()

    async def freeze_through_a_follower(self) -> None:
        """A freeze through one that does not decide; the leader dies; it still holds, and nothing moves."""
        leader = await self.leader()
        followers = [each for each in self.running() if each is not leader]
        await self.insist(lambda stubs: _freeze(stubs, "chaos")) if not followers else None
        async with self.stubs(followers) as stubs:
            await stubs.killswitch.Freeze(pb.FreezeRequest(all=True, reason="chaos"), timeout=10)
        await self.dwell(0.5)
        frozen = {name: self.split(name) for name in ("envoy-0", "envoy-1")}
        await self.kill_leader()
        await self.dwell(1.0)
        for each in self.running():
            async with each.stubs() as stubs:
                told = await stubs.killswitch.ListFreezes(pb.ListFreezesRequest(), timeout=5)
            self.lost += "chaos" not in [freeze.reason for freeze in told.freezes]
        self.lost += frozen != {name: self.split(name) for name in frozen}
        await self.insist(_unfreeze)


async def leading(asked: ControllerProcess) -> str:
    """The name of the one that decides, as that controller tells it; empty if none does or it does not know."""
    async with asyncio.timeout(2), asked.channel() as channel:
        stub = ControllersStub(channel)  # type: ignore[no-untyped-call]
        told = await stub.ListControllers(pb.ListControllersRequest())
        if told.store_problem:
            return ""
        return next((each.name for each in told.controllers if each.leader), "")


async def _start(stubs: AdminStubs, canary: str) -> bool:
    try:
        await stubs.rollouts.StartCanary(pb.StartCanaryRequest(service=SERVICE, canary=canary, reason="test"))
    except grpc.aio.AioRpcError as error:
        return "ALREADY_RUNNING" in str(error.trailing_metadata())
    return True


async def _freeze(stubs: AdminStubs, reason: str) -> bool:
    await stubs.killswitch.Freeze(pb.FreezeRequest(all=True, reason=reason))
    return True


async def _unfreeze(stubs: AdminStubs) -> bool:
    try:
        await stubs.killswitch.Unfreeze(pb.UnfreezeRequest(all=True, reason="over"))
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.NOT_FOUND  # an earlier try has lifted it
    return True


async def _list(stubs: AdminStubs, request: pb.ListEventsRequest) -> list[list[pb.Event]]:
    return [list((await stubs.ledger.ListEvents(request)).events)]


@contextlib.asynccontextmanager
async def trial(
    processes: Children, controller: Make, *, count: int = 3, members: int = 3, seconds: float = 110.0, ttl: int = TTL
) -> AsyncIterator[Trial]:
    """Everything runs, the service is served by v1 at both Envoys, clients ask, for so many seconds at most."""
    etcd = EtcdMembers(processes, members)
    etcd.start_missing()
    settings = processes.folder / "trial.toml"
    settings.write_text(f"[etcd]\nttl = {ttl}\n")
    controllers = [controller(name) for name in ("one", "two", "three")[:count]]
    held = contextlib.AsyncExitStack()
    ways: dict[str, list[Switch]] = {}
    for each in controllers:
        own = [await held.enter_async_context(switch(f"127.0.0.1:{member.port}")) for member in etcd.members]
        ways[each.environment["HALDANE_NAME"]] = own
        store = f"etcd:{','.join(way.address for way in own)}"
        each.environment |= {"HALDANE_STORE": store, "HALDANE_CONFIG": str(settings)}
        each.launch()
    models = {version: ModelServer(version) for version in ("v1", "v2")}
    for model in models.values():
        await model.start()
    for each in controllers:
        await wait_until(each.ready, 60)
    entry = free_port()
    await apply(controllers[-1], entry, models)
    xds = [each.xds for each in controllers]
    envoys = [
        EnvoyProcess(processes, bootstrap("envoy-0", "delta", xds), "envoy-0"),
        EnvoyProcess(processes, bootstrap("envoy-1", "sotw", [*xds[1:], xds[0]]), "envoy-1"),
    ]
    for envoy in envoys:
        await envoy.start()
    await wait_until(lambda: answers(f"http://127.0.0.1:{entry}/"))
    async with held, steady(entry, RATE, seconds=seconds, timeout=2 * PATIENCE) as load:
        made = Trial(controllers, etcd, models, [load], envoys, ways, ttl=ttl)
        async with watched(made):
            yield made


@contextlib.asynccontextmanager
async def watched(made: Trial) -> AsyncIterator[None]:
    """Both Envoys are watched; at the end of the block the model servers end."""
    watching = [asyncio.create_task(made.watch(each, f"envoy-{n}")) for n, each in enumerate(made.envoys)]
    watching.append(asyncio.create_task(made.note_stalls()))
    try:
        await made.until_served(lambda split: split == {"v1": 10_000})
        yield
        assert not any(each.done() for each in watching), "an Envoy could not be watched"
    finally:
        for each in watching:
            each.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for model in made.models.values():
            await model.crash()


def bad_ends(envoy: EnvoyProcess, since: float, until: float) -> list[dict[str, Any]]:
    """What an Envoy's access log has of requests that began in that time and ended badly."""
    found = []
    for line in envoy.output.splitlines():
        if line.startswith("{"):
            logged = json.loads(line)
            began = datetime.fromisoformat(logged["time"]).timestamp()
            good = logged["status"] == 200 and logged["flags"] == "-"
            if not good and since - 0.1 <= began <= until + 0.1:
                found.append({name: logged[name] for name in SHOWN})
    return found


def bootstrap(node: str, protocol: Literal["delta", "sotw"], xds: Sequence[str]) -> str:
    """Of an Envoy that tries these controllers in this order."""
    admin = f"127.0.0.1:{free_port()}"
    return render(fleet=FLEET, node=node, xds=",".join(xds), envoy_admin=admin, protocol=protocol)


async def apply(
    controller: ControllerProcess, entry: int, models: dict[str, ModelServer], address: str = "127.0.0.1"
) -> None:
    """Declare the service; Envoys log each request."""
    text = service_file(
        SERVICE,
        entry,
        endpoints={version: model.address for version, model in models.items()},
        address=address,
        more=f"fleets: [{FLEET}]\ntimeout: {PATIENCE}s\n",
        policy=POLICY,
    ).replace(f"port: {entry}", f"port: {entry}, access_log: stdout", 1)
    async with controller.stubs() as stubs:
        await stubs.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text, reason="test"), wait_for_ready=True)
