"""Both admin doors over a memory store, with an observatory and a fleet that tests tell what they see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import aiohttp
import grpc
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry, Gauge

from controller.admin import OPTIONS
from controller.admin.grpc_api import add_admin
from controller.admin.http_api import Probes, make_http
from controller.admin.http_guard import caller_of_request
from controller.admin.service_reader import ServiceReader
from controller.admin.watch_streams import Watches
from controller.console.pages import console_routes
from controller.core.model.rollout import Event
from controller.pb.haldane.admin.v1 import admin_pb2_grpc
from controller.runtime.operations import Operations
from controller.runtime.recorder import Recorder
from tests.builders import change
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.membership import alone
from tests.fakes.observatory import FakeObservatory
from tests.fakes.store import FaultyStore
from tests.support.doorkeepers import doorkeeper, open_guard
from tests.support.http_server import http_server


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
    store: FaultyStore
    clock: FakeClock
    observatory: FakeObservatory
    fleet: FakeFleet
    watches: Watches
    registry: CollectorRegistry
    unready: str | None = None


@contextlib.asynccontextmanager
async def opened_doors() -> AsyncIterator[Doors]:
    """Both doors on free ports of loopback, until the end of the block."""
    clock = FakeClock()
    store = FaultyStore(clock=clock)
    observatory, fleet = FakeObservatory(await store.load()), FakeFleet()
    operations = Operations(store, clock)
    membership = alone(store.members)
    registry = CollectorRegistry()
    Gauge("haldane_store_up", "Whether the store answered last time", registry=registry).set(1)
    server = grpc.aio.server(interceptors=[open_guard()], options=[*OPTIONS, ("grpc.so_reuseport", 0)])
    watches = add_admin(server, operations, observatory, fleet, Recorder(store, clock), membership)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    doors: Doors

    async def read_registry() -> CollectorRegistry:
        return registry

    reader = ServiceReader(operations, observatory, fleet)
    site = make_http(
        operations,
        reader,
        doorkeeper("http"),
        Probes(lambda: doors.unready, read_registry, reader, membership.role),
        pages=console_routes(
            operations,
            observatory,
            fleet,
            ready=lambda: doors.unready,
            caller_of=caller_of_request,
            membership=membership,
        ),
        body_within=1.0,
    )
    following = asyncio.create_task(observatory.follow(store))
    try:
        async with (
            http_server(site) as url,
            grpc.aio.insecure_channel(address) as channel,
            aiohttp.ClientSession(url) as http,
        ):
            api = Api(channel)
            doors = Doors(api, address, http, url, store, clock, observatory, fleet, watches, registry)
            yield doors
    finally:
        following.cancel()
        await server.stop(None)


async def come_to_approval(doors: Doors) -> None:
    """The rollout of `scorer`, which warms up, waits for a person's yes to its second step."""
    state = (await doors.store.load()).services["scorer"]
    assert state.rollout is not None
    waiting = state.rollout.moved(Event.WARM, doors.clock.now, "warm").moved(
        Event.AWAIT_APPROVAL, doors.clock.now, "a yes?"
    )
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
