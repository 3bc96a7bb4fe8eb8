"""Three controllers over etcd, two Envoys (Delta and SotW) under load, and everybody who saw what happened."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
import grpc

from controller.bootstrap import render
from controller.cli.ledger_verification import verify_events
from controller.demo.ha.etcd_members import EtcdMembers
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
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
TTL = 2
"""Seconds of the lease."""


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


@dataclass
class Trial:
    """What runs, and what was seen."""

    controllers: list[ControllerProcess]
    members: EtcdMembers
    models: dict[str, ModelServer]
    load: LoadGenerator
    envoys: list[EnvoyProcess]
    ways: dict[str, list[Switch]]
    """By the name of a controller: its ways to each member of etcd."""
    seen: list[Served] = field(default_factory=list)
    blamed: set[str] = field(default_factory=set)
    """The versions that may fail, since the test makes them."""
    lost: int = 0
    stalled: float = 0.0
    """Seconds."""
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    # Who runs, and who decides.

    def running(self) -> Iterator[ControllerProcess]:
        """The controllers that have a process."""
        return (each for each in self.controllers if each.running)

    async def leader(self, *, other_than: ControllerProcess | None = None, within: float = 30.0) -> ControllerProcess:
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
        canary = "v2" if "v1" in self.split("envoy-0") else "v1"
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
        """Wait until the rollout is in that phase."""

        async def is_over() -> bool:
            return bool((await self.rollout()).phase == phase)

        await wait_until(is_over, within, every=0.2)

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

    async def until_served(self, holds: Callable[[Split], bool], within: float = 30.0) -> None:
        """Wait until it holds of both Envoys' splits."""
        names = [f"envoy-{n}" for n in range(len(self.envoys))]
        await wait_until(lambda: all(holds(self.split(name)) for name in names), within)

    async def watch(self, envoy: EnvoyProcess, name: str) -> None:
        """Look at an Envoy's route configuration, until cancelled."""
        url = f"http://127.0.0.1:{envoy.admin}/config_dump?resource=dynamic_route_configs"
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
        counts = Counts(requests=len(self.load.results), freezes_lost=self.lost)
        failed = (a for a in self.load.results if not a.ok and a.version not in self.blamed)
        counts.failed = [f"{a.source}: {a.outcome} {a.status} after {a.milliseconds:.0f} ms" for a in failed]
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

    async def note_stalls(self) -> None:
        """Note for how long this process stood still at the longest: its model servers did not answer then."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(LOOK_EVERY)
            self.stalled = max(self.stalled, time.monotonic() - before - LOOK_EVERY)

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
        await leader.start()

    async def pause_leader(self) -> None:
        """SIGSTOP beyond the lease, and back."""
        leader = await self.leader()
        leader.send(signal.SIGSTOP)
        try:
            await self.leader(other_than=leader)
            await self.dwell(TTL)
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
            await self.dwell(TTL)
        finally:
            for way in ways:
                way.release()
        await wait_until(lambda: answers(f"http://{leader.http}/readyz"), 60)

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
            await each.start(40)
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
    processes: Children, controller: Make, *, count: int = 3, members: int = 3, seconds: float = 110.0
) -> AsyncIterator[Trial]:
    """Everything runs, the service is served by v1 at both Envoys, clients ask, for so many seconds at most."""
    etcd = EtcdMembers(processes, members)
    etcd.start_missing()
    settings = processes.folder / "trial.toml"
    settings.write_text(f"[etcd]\nttl = {TTL}\n")
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
        await wait_until(lambda each=each: answers(f"http://{each.http}/readyz"), 60)
    entry = free_port()
    await _apply(controllers[-1], entry, models)
    xds = [each.xds for each in controllers]
    envoys = [
        EnvoyProcess(processes, bootstrap("envoy-0", "delta", xds), "envoy-0"),
        EnvoyProcess(processes, bootstrap("envoy-1", "sotw", [*xds[1:], xds[0]]), "envoy-1"),
    ]
    for envoy in envoys:
        await envoy.start()
    await wait_until(lambda: answers(f"http://127.0.0.1:{entry}/"))
    async with held, steady(entry, RATE, seconds=seconds) as load:
        made = Trial(controllers, etcd, models, load, envoys, ways)
        watching = [asyncio.create_task(made.watch(each, f"envoy-{n}")) for n, each in enumerate(envoys)]
        watching.append(asyncio.create_task(made.note_stalls()))
        try:
            await made.until_served(lambda split: split == {"v1": 10_000})
            yield made
            assert not any(each.done() for each in watching), "an Envoy could not be watched"
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            for model in models.values():
                await model.crash()


def bootstrap(node: str, protocol: Literal["delta", "sotw"], xds: Sequence[str]) -> str:
    """Of an Envoy that tries these controllers in this order."""
    admin = f"127.0.0.1:{free_port()}"
    return render(fleet=FLEET, node=node, xds=",".join(xds), envoy_admin=admin, protocol=protocol)


async def _apply(controller: ControllerProcess, entry: int, models: dict[str, ModelServer]) -> None:
    text = service_file(
        SERVICE,
        entry,
        endpoints={version: model.address for version, model in models.items()},
        address="127.0.0.1",
        more=f"fleets: [{FLEET}]\ntimeout: 2s\n",
        policy=POLICY,
    )
    async with controller.stubs() as stubs:
        await stubs.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text, reason="test"), wait_for_ready=True)
