"""Every door x every method x everybody: what each gets is what the permission beside the method says.

The methods are those that the servers have, not a list: one that declares no permission fails here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from aiohttp import hdrs
from google.protobuf.message import Message

from controller.admin.grpc_api import PERMISSIONS
from controller.core.access.permission import GRANTS, Permission
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1.admin_pb2_grpc import CatalogStub
from controller.pb.haldane.wire.v1.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest, Node
from controller.relay.relay_service import NOT_LEADER
from controller.xds.resources.type_urls import CDS
from tests.builders import service_file
from tests.support.authority import Authority
from tests.support.secured import Identity, Secured, identities_of, secured_controller

EVERYBODY = tuple(identities_of(Authority()))


class Gets(StrEnum):
    """What a caller gets."""

    NOTHING = "no connection"
    UNAUTHENTICATED = "who are you?"
    DENIED = "not you"
    ADMITTED = "let in"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """One controller for the whole table, with a service, so that every watch has something to show. No request of the
    table changes anything: each lacks what it needs to."""
    async with secured_controller(tmp_path_factory.mktemp("secured")) as made:
        admin = made.identities["admin by certificate"]
        async with made.channel(admin) as channel:
            await CatalogStub(channel).ApplyService(pb.ApplyServiceRequest(yaml=service_file()))  # type: ignore[no-untyped-call]
        yield made


def expected(identity: Identity, permission: Permission) -> Gets:
    """What the table of roles says."""
    if not identity.connects:
        return Gets.NOTHING
    if not identity.valid:
        return Gets.UNAUTHENTICATED
    if permission is Permission.PUBLIC or (identity.role and permission in GRANTS[identity.role]):
        return Gets.ADMITTED
    return Gets.DENIED if identity.name else Gets.UNAUTHENTICATED


async def call(channel: Any, identity: Identity, method: str, request: bytes) -> Gets:
    """Send one request, whatever kind of method it is, and wait for the first response or the status."""
    calling = channel.stream_stream(method)(metadata=identity.metadata, timeout=20)
    try:
        await calling.write(request)
        await calling.done_writing()
        if await calling.read():  # else it is the end
            calling.cancel()
            return Gets.ADMITTED
        code, details = await calling.code(), await calling.details()
    except grpc.aio.AioRpcError as error:
        code, details = error.code(), error.details()
    except asyncio.InvalidStateError:  # the call ended while it was written to
        code, details = await calling.code(), await calling.details()
    if code is grpc.StatusCode.UNAVAILABLE and details != NOT_LEADER:
        return Gets.NOTHING
    assert code not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.DEADLINE_EXCEEDED), (method, details)
    refusals = {
        grpc.StatusCode.UNAUTHENTICATED: Gets.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED: Gets.DENIED,
    }
    return refusals.get(code, Gets.ADMITTED)


VARIANTS: Mapping[str, list[tuple[Message, Permission]]] = {
    "/haldane.admin.v1.KillSwitch/Freeze": [
        (pb.FreezeRequest(mode="hold"), Permission.HOLD),
        (pb.FreezeRequest(mode="freeze"), Permission.FREEZE),
        (pb.FreezeRequest(mode="Hold"), Permission.FREEZE),
        (pb.FreezeRequest(), Permission.FREEZE),
    ],
    "/haldane.admin.v1.Rollouts/Rollback": [
        (pb.RollbackRequest(), Permission.ROLL_BACK),
        (pb.RollbackRequest(force=True), Permission.FORCE_ROLLBACK),
    ],
}
"""The methods whose requests do not all need what the method declares."""


@pytest.mark.parametrize("who", EVERYBODY)
async def test_the_admin_port(secured: Secured, who: str) -> None:
    """Health, reflection and CSDS included."""
    identity, wrong = secured.identities[who], []
    methods = secured.handlers["admin"]
    assert methods == PERMISSIONS.keys()
    async with secured.channel(identity) as channel:
        for method in sorted(methods):
            for request, permission in VARIANTS.get(method, [(pb.WhoAmIRequest(), PERMISSIONS[method])]):
                got = await call(channel, identity, method, request.SerializeToString())
                if got is not expected(identity, permission):
                    wrong.append(f"{method} {request}: {got}, not {expected(identity, permission)}")
    assert not wrong


def in_fleet(fleet: str, method: str) -> bytes:
    """The first request of a proxy of that fleet. Reports have the node in the same place."""
    node = Node(id="edge-1", cluster=fleet)
    type_url = CDS if "Aggregated" in method else ""
    kind = DeltaDiscoveryRequest if "/Delta" in method else DiscoveryRequest
    request = kind(node=node, type_url=type_url)
    return request.SerializeToString()


FOR_PROXIES = ("envoy.service.",)
REPORTS = ("envoy.service.load_stats.", "envoy.service.metrics.")
"""Whoever has a certificate may send them. They count from the identity of the node's own xDS stream alone."""
PROBES = ("grpc.health.", "grpc.reflection.")


@pytest.mark.parametrize("who", [who for who in EVERYBODY if who != "own socket"])
async def test_the_xds_port(secured: Secured, who: str) -> None:
    """Nobody without a certificate, and no stream for whom it does not say to be of that fleet."""
    identity, wrong = secured.identities[who], []
    methods = secured.handlers["xds"]
    async with secured.channel(identity, secured.settings.xds_listen) as channel:
        for method in sorted(methods):
            service = method.removeprefix("/")
            if not (identity.connects and identity.certificate):
                should = Gets.NOTHING
            elif service.startswith((*REPORTS, *PROBES)):
                should = Gets.ADMITTED
            else:
                assert service.startswith(FOR_PROXIES), f"who may call {method} is not declared"
                should = Gets.ADMITTED if identity.fleet == "edge" else Gets.DENIED
            got = await call(channel, identity, method, in_fleet("edge", method))
            if got is not should:
                wrong.append(f"{method}: {got}, not {should}")
    assert not wrong


METHODS = (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_DELETE, hdrs.METH_OPTIONS)


async def ask(session: aiohttp.ClientSession, method: str, path: str) -> int:
    """The status of a request without fields; 0 without a connection."""
    try:
        async with session.request(method, path, json={} if method == hdrs.METH_POST else None) as response:
            return response.status
    except aiohttp.ClientError:
        return 0


REFUSED = {Gets.NOTHING: 0, Gets.UNAUTHENTICATED: 401, Gets.DENIED: 403}


@pytest.mark.parametrize("who", EVERYBODY)
async def test_the_http_port(secured: Secured, who: str) -> None:
    """Every path of the site by every method: those that a path does not have are refused to all."""
    identity, wrong = secured.identities[who], []
    router: Any = secured.site[0].router
    permissions = {(route.method, route.path): route.permission for route in secured.routes}
    permissions |= {(hdrs.METH_HEAD, path): right for (verb, path), right in permissions.items() if verb == "GET"}
    assert {(each.method, each.resource.canonical) for each in router.routes() if each.resource} == set(permissions)
    async with secured.http(identity) as session:
        if not identity.connects:  # whatever it would have asked for
            assert [await ask(session, method, "/") for method in METHODS] == [0] * len(METHODS)
            return
        for path in sorted({path for _, path in permissions}):
            for method in METHODS:
                status, permission = await ask(session, method, path), permissions.get((method, path))
                gets = expected(identity, permission or Permission.PUBLIC)
                if gets in REFUSED and permission:
                    fits = status == REFUSED[gets]
                elif permission:
                    fits = status not in (*REFUSED.values(), 404, 405)
                else:
                    fits = status == 405
                if not fits:
                    wrong.append(f"{method} {path}: {status}; {gets}")
    assert not wrong


async def test_what_changes_something_takes_a_right(secured: Secured) -> None:
    """The table above takes each permission from where it is declared. None of these is so by mistake."""
    for route in secured.routes:
        reads = route.method == hdrs.METH_GET
        assert reads or route.permission not in (Permission.PUBLIC, Permission.VIEW), route.path
    public = {method.rpartition("/")[2] for method, right in PERMISSIONS.items() if right is Permission.PUBLIC}
    assert public == {"Check", "List", "Watch", "WhoAmI", "Can", "GetLoginConfig"}
    reading = {method.rpartition("/")[2] for method, right in PERMISSIONS.items() if right is Permission.VIEW}
    beginnings = ("Get", "List", "Watch", "Explain", "ServerReflectionInfo", "FetchClient", "StreamClient")
    assert not [name for name in reading if not name.startswith(beginnings)]
