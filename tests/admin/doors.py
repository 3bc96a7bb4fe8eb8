"""Both admin doors over a memory store, with an observatory and a fleet that tests tell what they see."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import aiohttp
import grpc
from aiohttp import web
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry, Gauge

from controller.admin import OPTIONS
from controller.admin.http import make_http
from controller.admin.service import add_admin
from controller.admin.watches import Watches
from controller.console.pages import console_routes
from controller.core.control.sync import Sync
from controller.core.model.applied import Applied
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_line import Entry, LedgerLine
from controller.core.model.rollout import Event
from controller.core.model.store_errors import StoreLost
from controller.core.model.view import View
from controller.pb.haldane.admin.v1 import admin_pb2_grpc
from controller.ports.fleet import ProxyStatus
from controller.ports.observatory import Live
from controller.ports.store import Store
from controller.runtime.operations import Operations
from controller.runtime.recorder import Recorder
from controller.store.memory import MemoryStore
from tests.store.values import ToldClock, change

FILE = """\
service: {name}
listen: {{port: {port}}}
versions:
  v1: {{endpoints: ["127.0.0.1:9001"]}}
  v2: {{endpoints: ["127.0.0.1:9002"]}}
  v3: {{endpoints: []}}
stable: v1
"""


def service_file(name: str = "scorer", port: int = 10000) -> str:
    """A service with v1 (stable), v2, and v3 that has no endpoints yet."""
    return FILE.format(name=name, port=port)


class LosableStore(MemoryStore):
    """A store that can go away and come back. While `mute` is set, an act is applied but its answer is lost; while it
    is `hung`, its ledger does not answer. With `together`, so many readers see the same before anybody acts on it."""

    away = False
    hung = False
    mute = False
    together: asyncio.Barrier | None = None

    async def load(self) -> View:
        self._answer()
        view = await super().load()
        if self.together:
            await self.together.wait()
            self.together = None
        return view

    async def command(self, change: Change) -> int:
        self._answer()
        revision = await super().command(change)
        if self.mute:
            raise StoreLost("no answer")
        return revision

    async def applied(self, change_id: str) -> Applied | None:
        self._answer()
        return await super().applied(change_id)

    async def events(self, *, service: str = "", after: int = 0, limit: int = 1000) -> list[LedgerLine]:
        self._answer()
        if self.hung:
            await asyncio.sleep(3600)
        return await super().events(service=service, after=after, limit=limit)

    def write(self, entry: Entry) -> None:
        """Write a line into the ledger, whether anybody can reach the store or not."""
        self._apply(Change(uuid.uuid4().hex, "told", Act.RECORD, entry), None)

    def _answer(self) -> None:
        if self.away:
            raise StoreLost("the disk is full")


class ToldObservatory:
    """Follows a store as the loop does, and shows of each service what it was told."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._lives: dict[str, Live] = {}
        self._turn = 1
        self._turned = asyncio.Condition()

    def view(self) -> View:
        return self._view

    def show(self, view: View) -> None:
        """Serve this view, until the store has a newer one."""
        self._view = view

    def live(self, service: str) -> Live:
        return self._lives.get(service, Live())

    async def next(self, seen: int) -> int:
        async with self._turned:
            await self._turned.wait_for(lambda: self._turn > seen)
            return self._turn

    async def see(self, service: str, live: Live) -> None:
        """A new look at a service."""
        self._lives[service] = live
        await self._turn_over()

    async def follow(self, store: Store) -> None:
        async for view in store.watch(self._view.revision):
            self._view = view
            await self._turn_over()

    async def _turn_over(self) -> None:
        async with self._turned:
            self._turn += 1
            self._turned.notify_all()


@dataclass
class ToldFleet:
    """The proxies that a test says are there."""

    statuses: tuple[ProxyStatus, ...] = ()
    synced: Sync = field(default_factory=Sync)
    fault: Exception | None = None
    problems: dict[str, str] = field(default_factory=dict)

    def proxies(self) -> tuple[ProxyStatus, ...]:
        if self.fault:
            raise self.fault
        return self.statuses

    def sync(self, service: str, revision: int) -> Sync:
        return self.synced


class Api:
    """The stubs of the admin API over one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.catalog = admin_pb2_grpc.CatalogStub(channel)
        self.rollouts = admin_pb2_grpc.RolloutsStub(channel)
        self.switch = admin_pb2_grpc.KillSwitchStub(channel)
        self.fleet = admin_pb2_grpc.FleetStub(channel)
        self.ledger = admin_pb2_grpc.LedgerStub(channel)


@dataclass
class Doors:
    """What a test has in hand: both doors, and the world behind them."""

    api: Api
    address: str
    http: aiohttp.ClientSession
    url: str
    store: LosableStore
    clock: ToldClock
    observatory: ToldObservatory
    fleet: ToldFleet
    watches: Watches
    registry: CollectorRegistry
    unready: str | None = None


@contextlib.asynccontextmanager
async def opened_doors() -> AsyncIterator[Doors]:
    """Both doors on free ports of loopback, until the end of the block."""
    clock = ToldClock()
    store = LosableStore(clock=clock)
    observatory, fleet = ToldObservatory(await store.load()), ToldFleet()
    operations = Operations(store, clock)
    registry = CollectorRegistry()
    Gauge("haldane_store_up", "Whether the store answered last time", registry=registry).set(1)
    server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    watches = add_admin(server, operations, observatory, fleet, Recorder(store, clock))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    doors: Doors
    site = make_http(
        operations,
        observatory,
        fleet,
        ready=lambda: doors.unready,
        registry=registry,
        pages=console_routes(operations, observatory, fleet, ready=lambda: doors.unready),
        body_within=1.0,
    )
    runner = web.AppRunner(site, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    following = asyncio.create_task(observatory.follow(store))
    try:
        async with grpc.aio.insecure_channel(address) as channel, aiohttp.ClientSession(url) as http:
            api = Api(channel)
            doors = Doors(api, address, http, url, store, clock, observatory, fleet, watches, registry)
            yield doors
    finally:
        following.cancel()
        await runner.cleanup()
        await server.stop(None)


async def come_to_approval(doors: Doors) -> None:
    """The rollout of `scorer`, which warms up, waits for a person's yes to its second step."""
    state = (await doors.store.load()).services["scorer"]
    assert state.rollout is not None
    waiting = state.rollout.moved(Event.WARM, doors.clock.now, "warm").moved(Event.ASK, doors.clock.now, "a yes?")
    await doors.store.command(change(expects=state.revision, to=state.model_copy(update={"rollout": waiting})))


@dataclass
class Refused:
    """How a call was refused."""

    status: grpc.StatusCode | None = None
    message: str = ""
    reason: str = ""
    violations: dict[str, str] = field(default_factory=dict)
    trailers: int = 0
    """Bytes of the status's details."""


@contextlib.contextmanager
def refused() -> Iterator[Refused]:
    """Expects that the block ends with a refused call; what is known of it is filled in then."""
    told = Refused()
    try:
        yield told
    except grpc.aio.AioRpcError as error:
        told.status, told.message = error.code(), error.details() or ""
        trailers = dict(error.trailing_metadata() or ())
        raw = trailers.get("grpc-status-details-bin", b"")
        told.trailers = len(raw)
        for detail in status_pb2.Status.FromString(raw).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                told.reason = info.reason
            elif detail.Unpack(bad):
                told.violations = {v.field: v.description for v in bad.field_violations}
    else:
        raise AssertionError("the call was not refused")
