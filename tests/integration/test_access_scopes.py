"""Rights on some services: what their holder may do and see; and a name in the ledger that no request can choose."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError

from controller.core.access.binding import Binding
from controller.core.access.permission import Role
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.pb.haldane.admin.v1 import admin_pb2_grpc as api
from tests.builders import service_file
from tests.support.authority import Authority
from tests.support.secured import Identity, Secured, secured_controller

FRAUD, SEARCH = service_file("fraud-1", 10001), service_file("search", 10002)
SERVICES = ("fraud-*",)


def names(principal: str) -> str:
    """The SPIFFE ID of a person."""
    return f"spiffe://prod/ns/fraud/{principal}"


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    """A controller with two services, where four people have a role on one of them alone."""
    bindings = [Binding(spiffe=names(role), role=role, services=SERVICES) for role in Role]
    async with secured_controller(tmp_path, bindings) as made:
        async with stubs(made, made.identities["admin by token"]) as everywhere:
            for text in (FRAUD, SEARCH):
                await everywhere.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text))
        yield made


class Stubs:
    """The admin API for one caller; its metadata goes with every call."""

    def __init__(self, channel: Any) -> None:
        self.catalog: Any = api.CatalogStub(channel)  # type: ignore[no-untyped-call]
        self.rollouts: Any = api.RolloutsStub(channel)  # type: ignore[no-untyped-call]
        self.switch: Any = api.KillSwitchStub(channel)  # type: ignore[no-untyped-call]
        self.ledger: Any = api.LedgerStub(channel)  # type: ignore[no-untyped-call]
        self.access: Any = api.AccessStub(channel)  # type: ignore[no-untyped-call]


class _WithMetadata:
    """A channel whose calls carry metadata."""

    def __init__(self, channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...]) -> None:
        self._channel = channel
        self._metadata = metadata

    def unary_unary(self, *args: Any, **options: Any) -> Any:
        call: Any = self._channel.unary_unary(*args, **options)
        return lambda request: call(request, metadata=self._metadata, timeout=20)

    def unary_stream(self, *args: Any, **options: Any) -> Any:
        call: Any = self._channel.unary_stream(*args, **options)
        return lambda request: call(request, metadata=self._metadata, timeout=20)


@contextlib.asynccontextmanager
async def stubs(
    secured: Secured, identity: Identity, metadata: tuple[tuple[str, str], ...] = ()
) -> AsyncIterator[Stubs]:
    """The admin API as that caller."""
    async with secured.channel(identity) as channel:
        yield Stubs(_WithMetadata(channel, (*identity.metadata, *metadata)))


def of_fraud(secured: Secured, role: Role) -> Identity:
    """Whoever has that role on `fraud-*`."""
    return Identity(names(role), secured.authority.issue(spiffe=names(role)), role=role)


@contextlib.contextmanager
def denied(what: str) -> Iterator[None]:
    """The block ends with a denial that names this."""
    with pytest.raises(AioRpcError) as raised:
        yield
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert what in (raised.value.details() or "")


async def test_an_operator_of_some_services_moves_those_alone(secured: Secured) -> None:
    """What it names and what concerns all are two things."""
    async with stubs(secured, of_fraud(secured, Role.OPERATOR)) as own:
        assert (await own.rollouts.StartCanary(pb.StartCanaryRequest(service="fraud-1", canary="v2"))).canary == "v2"
        with denied("`operate` on search"):
            await own.rollouts.StartCanary(pb.StartCanaryRequest(service="search", canary="v2"))
        with denied("`roll back` on search"):
            await own.rollouts.Rollback(pb.RollbackRequest(service="search", reason="no"))
        with denied("`force rollback` on fraud-1"):
            await own.rollouts.Rollback(pb.RollbackRequest(service="fraud-1", reason="no", force=True))
        hold = pb.FreezeRequest(services=["fraud-1"], mode="hold", reason="wait")
        assert (await own.switch.Freeze(hold)).freezes[0].who == names(Role.OPERATOR)
        with denied("`freeze` on fraud-1"):
            await own.switch.Freeze(pb.FreezeRequest(services=["fraud-1"], reason="stop"))
        with denied("`hold` on all services"):
            await own.switch.Freeze(pb.FreezeRequest(all=True, mode="hold", reason="wait"))
        assert len((await own.switch.Unfreeze(pb.UnfreezeRequest(services=["fraud-1"], reason="go"))).lifted) == 1


async def test_freezing_all_takes_all(secured: Secured) -> None:
    """By the admin API and over HTTP; also together with a service that is the caller's own."""
    breaker = of_fraud(secured, Role.BREAKER)
    async with stubs(secured, breaker) as own, secured.http(breaker) as http:
        with denied("on all services"):
            await own.switch.Freeze(pb.FreezeRequest(all=True, reason="stop"))
        with denied("on search"):
            await own.switch.Freeze(pb.FreezeRequest(services=["fraud-1", "search"], reason="stop"))
        for service, status in ((None, 403), ("search", 403), ("fraud-1", 200)):
            async with http.post("/freeze", json={"service": service, "reason": "stop"}) as response:
                assert response.status == status
        listed = (await own.switch.ListFreezes(pb.ListFreezesRequest())).freezes
        assert [freeze.scope for freeze in listed] == ["fraud-1"]


async def test_a_breaker_lifts_its_own_freezes_alone(secured: Secured) -> None:
    """Those of others stand, and it is told so."""
    async with (
        stubs(secured, secured.identities["breaker by token"]) as other,
        stubs(secured, of_fraud(secured, Role.BREAKER)) as own,
    ):
        await other.switch.Freeze(pb.FreezeRequest(services=["fraud-1"], reason="stop"))
        with denied("lift"):
            await own.switch.Unfreeze(pb.UnfreezeRequest(services=["fraud-1"], reason="go"))
        assert len((await other.switch.ListFreezes(pb.ListFreezesRequest())).freezes) == 1
        assert (await other.switch.Unfreeze(pb.UnfreezeRequest(services=["fraud-1"], reason="go"))).lifted


async def test_an_admin_of_some_services_declares_those_alone(secured: Secured) -> None:
    """One file that is not its own spoils all of them; so does one that renames a service."""
    async with stubs(secured, of_fraud(secured, Role.ADMIN)) as own:
        with denied("`apply` on search"):
            await own.catalog.ApplyService(pb.ApplyServiceRequest(yaml=SEARCH))
        new = service_file("fraud-2", 10003)
        with denied("`apply` on search"):
            await own.catalog.ApplyServices(pb.ApplyServicesRequest(yaml=[new, SEARCH]))
        assert [each.name for each in (await own.catalog.ListServices(pb.ListServicesRequest())).services] == [
            "fraud-1"
        ]
        await own.catalog.ApplyServices(pb.ApplyServicesRequest(yaml=[new]))
        with denied("`apply` on search"):
            await own.catalog.DeleteService(pb.DeleteServiceRequest(service="search"))
        with denied("on all services"):
            await api_exclude(secured, of_fraud(secured, Role.ADMIN))


async def api_exclude(secured: Secured, identity: Identity) -> None:
    """Exclude a proxy, which is evidence for every service."""
    async with secured.channel(identity) as channel:
        stub: Any = api.FleetStub(channel)  # type: ignore[no-untyped-call]
        await stub.ExcludeProxy(pb.ExcludeProxyRequest(node="edge-1", reason="it lies"))


async def test_a_viewer_of_some_services_sees_those_alone(secured: Secured) -> None:
    """In lists, the ledger, watches and the console."""
    viewer = of_fraud(secured, Role.VIEWER)
    async with stubs(secured, viewer) as own, secured.http(viewer) as http:
        assert [each.name for each in (await own.catalog.ListServices(pb.ListServicesRequest())).services] == [
            "fraud-1"
        ]
        events = (await own.ledger.ListEvents(pb.ListEventsRequest())).events
        # What is about no service, such as the beginning of a term, is for everybody.
        assert [event.service for event in events if event.service] == ["fraud-1"]
        async for event in own.ledger.WatchEvents(pb.WatchEventsRequest()):
            if event.service:
                assert event.service == "fraud-1"
                break
        for call in (
            lambda: own.catalog.GetService(pb.GetServiceRequest(service="search")),
            lambda: own.rollouts.GetRollout(pb.GetRolloutRequest(service="search")),
            lambda: own.ledger.ListEvents(pb.ListEventsRequest(service="search")),
            lambda: own.rollouts.ExplainRollout(pb.ExplainRolloutRequest(service="search")),
            own.rollouts.WatchRollout(pb.WatchRolloutRequest(service="search")).read,
        ):
            with denied("`view` on search"):
                await call()
        async with http.get("/console/state") as response:
            state = await response.json()
        assert [each["name"] for each in state["services"]] == ["fraud-1"]
        assert "search" not in str(state["ledger"])
        async with http.get("/metrics") as response:  # which are of all services
            assert response.status == 403


CLAIMS = {
    "haldane-user": "mallory",
    "x-forwarded-user": "mallory",
    "x-forwarded-for": "10.6.6.6",
    "x-forwarded-client-cert": 'Subject="CN=mallory";URI=spiffe://prod/mallory',
    "x-real-ip": "10.6.6.6",
    "forwarded": "for=10.6.6.6",
    "x-remote-user": "mallory",
    "x-haldane-actor": "mallory",
    "cookie": "haldane_session=mallory",
}


@pytest.mark.parametrize("who", ["breaker by certificate", "breaker by token", "own socket"])
async def test_nothing_in_a_request_sets_who_it_was(secured: Secured, who: str) -> None:
    """The ledger has the verified name, and how it was verified."""
    identity = secured.identities[who]
    proof = "socket" if identity.socket else "token" if identity.token else "certificate"
    async with stubs(secured, identity, tuple(CLAIMS.items())) as own, secured.http(identity) as http:
        await own.switch.Freeze(pb.FreezeRequest(services=["fraud-1"], reason="mallory was here"))
        claimed = {"user": "mallory", "who": "mallory", "actor": "mallory"}
        for name, value in claimed.items():
            body = {"service": "search", "reason": "mallory was here", name: value}
            async with http.post("/freeze", json=body, headers=CLAIMS) as response:
                assert response.status == 400
        body = {"service": "search", "reason": "mallory was here"}
        async with http.post("/freeze", json=body, headers=CLAIMS) as response:
            assert (response.status, (await response.json())["who"]) == (200, identity.name)
        events = (await own.ledger.ListEvents(pb.ListEventsRequest())).events
        assert [(each.who, each.verified_by) for each in events if each.kind == "freeze_set"] == [
            (identity.name, proof)
        ] * 2
        assert (await own.access.WhoAmI(pb.WhoAmIRequest())).who == identity.name


async def test_several_authorizations_are_no_choice(secured: Secured) -> None:
    """The first one counts; a valid one behind it does not."""
    token = secured.identities["admin by token"].metadata
    async with stubs(secured, Identity(), (("authorization", "Bearer " + "x" * 40), *token)) as own:
        with pytest.raises(AioRpcError) as raised:
            await own.access.WhoAmI(pb.WhoAmIRequest())
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.proves("bad-input 19")
async def test_a_certificate_of_another_ca_in_the_same_name_is_nobody(secured: Secured) -> None:
    """The name alone is worth nothing."""
    admin = names(Role.ADMIN)
    async with stubs(secured, Identity(admin, Authority().issue(spiffe=admin))) as own:
        with pytest.raises(AioRpcError) as raised:
            await own.access.WhoAmI(pb.WhoAmIRequest())
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
