"""How the admin API says no: the status, the stable word, every wrong field, and nothing changed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
import pytest

from controller.admin import MAX_METADATA, MAX_REQUEST
from controller.core.servicefile.yaml_tree import MAX_BYTES
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.admin.doors import Api, Doors, refused
from tests.builders import service_file

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

Ask = Callable[[Api], Awaitable[object]]

# What may happen first.


def start(api: Api, canary: str = "v2", service: str = "scorer") -> Awaitable[object]:
    return api.rollouts.StartCanary(pb.StartCanaryRequest(service=service, canary=canary, request_id=f"start-{canary}"))


def freeze(api: Api) -> Awaitable[object]:
    return api.switch.Freeze(pb.FreezeRequest(all=True, reason="incident 42"))


def apply(text: str) -> Ask:
    return lambda api: api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text))


def frozen(**words: object) -> Ask:
    return lambda api: api.switch.Freeze(pb.FreezeRequest(**words))


def unfrozen(**words: object) -> Ask:
    return lambda api: api.switch.Unfreeze(pb.UnfreezeRequest(**words))


def act(verb: str, **words: object) -> Ask:
    request = pb.RollbackRequest if verb == "Rollback" else pb.RolloutRequest
    return lambda api: getattr(api.rollouts, verb)(request(**{"service": "scorer", **words}))


@dataclass(frozen=True)
class No:
    """A request that is refused, after what, with which status, word and (part of the) message."""

    ask: Ask
    status: grpc.StatusCode
    reason: str
    message: str
    after: tuple[Ask, ...] = ()
    field: str = ""


NOES = {
    "an unknown service": No(act("Pause", service="nobody"), NOT_FOUND, "NOT_FOUND", "there is no service 'nobody'"),
    "a service named like a path": No(act("Pause", service="../x"), NOT_FOUND, "NOT_FOUND", "'../x'"),
    "a rollout of an unknown service": No(
        lambda api: api.rollouts.GetRollout(pb.GetRolloutRequest(service="nobody")), NOT_FOUND, "NOT_FOUND", "nobody"
    ),
    "an unknown service shown": No(
        lambda api: api.catalog.GetService(pb.GetServiceRequest(service="")), NOT_FOUND, "NOT_FOUND", "''"
    ),
    "an unknown service deleted": No(
        lambda api: api.catalog.DeleteService(pb.DeleteServiceRequest(service="nobody")),
        NOT_FOUND,
        "NOT_FOUND",
        "nobody",
    ),
    "an unknown service frozen": No(frozen(services=["nobody"], reason="x"), NOT_FOUND, "NOT_FOUND", "nobody"),
    "pause without a rollout": No(act("Pause"), PRECONDITION, "NO_ROLLOUT", "has no rollout"),
    "resume without a rollout": No(act("Resume"), PRECONDITION, "NO_ROLLOUT", "has no rollout"),
    "approve without a rollout": No(act("Approve"), PRECONDITION, "NO_ROLLOUT", "has no rollout"),
    "promote without a rollout": No(act("Promote"), PRECONDITION, "NO_ROLLOUT", "has no rollout"),
    "rollback without a rollout": No(act("Rollback"), PRECONDITION, "NO_ROLLOUT", "has no rollout"),
    "rollback twice": No(act("Rollback"), PRECONDITION, "NO_ROLLOUT", "ROLLING_BACK", after=(start, act("Rollback"))),
    "resume of what is not paused": No(act("Resume"), PRECONDITION, "NOT_POSSIBLE", "WARMING", after=(start,)),
    "approve where nobody asked": No(act("Approve"), PRECONDITION, "NOT_POSSIBLE", "WARMING", after=(start,)),
    "promote of another canary": No(
        act("Promote", canary="v9"), grpc.StatusCode.ABORTED, "CONFLICT", "meant for v9", after=(start,)
    ),
    "a share for a promotion": No(
        act("Promote", weight=5000), INVALID, "INVALID", "weight", after=(start,), field="weight"
    ),
    "a canary for the fallback": No(act("Divert", canary="v2"), INVALID, "INVALID", "canary", field="canary"),
    "start while one runs": No(
        lambda api: api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2")),
        PRECONDITION,
        "ALREADY_RUNNING",
        "a rollout of v2 is WARMING",
        after=(start,),
    ),
    "start of the stable": No(lambda api: start(api, "v1"), INVALID, "INVALID", "v1 is the stable"),
    "start of an unknown version": No(lambda api: start(api, "v9"), INVALID, "INVALID", "no version 'v9'"),
    "start of a version without endpoints": No(
        lambda api: start(api, "v3"), PRECONDITION, "NO_ENDPOINTS", "v3 of scorer has no endpoints"
    ),
    "start while frozen": No(start, PRECONDITION, "FROZEN", "incident 42", after=(freeze,)),
    "delete while frozen": No(
        lambda api: api.catalog.DeleteService(pb.DeleteServiceRequest(service="scorer")),
        PRECONDITION,
        "FROZEN",
        "incident 42",
        after=(freeze,),
    ),
    "delete while a rollout runs": No(
        lambda api: api.catalog.DeleteService(pb.DeleteServiceRequest(service="scorer")),
        PRECONDITION,
        "IN_USE",
        "WARMING",
        after=(start,),
    ),
    "a forced rollback without a reason": No(
        act("Rollback", force=True), INVALID, "INVALID", "needs a reason", after=(start,), field="reason"
    ),
    "a file that is no YAML": No(apply("a: [1"), INVALID, "INVALID", "not valid YAML", field=""),
    "an empty file": No(apply(""), INVALID, "INVALID", "service: NAME"),
    "a file that moves the stable": No(
        apply(service_file().replace("stable: v1", "stable: v2")), PRECONDITION, "STABLE_CHANGED", "v1 is the stable"
    ),
    "a file that takes the canary away": No(
        apply(service_file().replace('  v2: {endpoints: ["127.0.0.1:9002"]}\n', "")),
        PRECONDITION,
        "IN_USE",
        "versions.v2 is in use",
        after=(start,),
    ),
    "a file with other servers and another protocol": No(
        apply(service_file().replace("9001", "9009") + "protocol: grpc\n"),
        PRECONDITION,
        "IN_USE",
        "versions.v1 is in use, and its endpoints cannot change together with tls or HTTP/2",
    ),
    "a file with another cluster": No(
        apply(service_file(more="clusters: own\n")), PRECONDITION, "IN_USE", "its cluster cannot change"
    ),
    "a file that claims another service's place": No(
        apply(service_file("other")), INVALID, "INVALID", "both claim", field="listen"
    ),
    "a freeze without a reason": No(frozen(all=True), INVALID, "INVALID", "needs a reason", field="reason"),
    "a freeze for a blank reason": No(frozen(all=True, reason=" \t"), INVALID, "INVALID", "reason", field="reason"),
    "a freeze of nothing": No(frozen(reason="x"), INVALID, "INVALID", "name services, or all", field="services"),
    "a freeze of one and all": No(
        frozen(services=["scorer"], all=True, reason="x"), INVALID, "INVALID", "not both", field="services"
    ),
    "a freeze of a star": No(frozen(services=["*"], reason="x"), INVALID, "INVALID", "set all", field="services"),
    "a freeze of a thousand and one": No(
        frozen(services=["s"] * 1001, reason="x"), INVALID, "INVALID", "at most 1000", field="services"
    ),
    "a nonsense ttl": No(frozen(all=True, reason="x", ttl="soon"), INVALID, "INVALID", "'soon'", field="ttl"),
    "a ttl without a unit": No(frozen(all=True, reason="x", ttl="30"), INVALID, "INVALID", "'30'", field="ttl"),
    "a negative ttl": No(frozen(all=True, reason="x", ttl="-5m"), INVALID, "INVALID", "'-5m'", field="ttl"),
    "a ttl of nothing": No(frozen(all=True, reason="x", ttl="0s"), INVALID, "INVALID", "between 1s", field="ttl"),
    "a ttl of a year": No(frozen(all=True, reason="x", ttl="365d"), INVALID, "INVALID", "30d", field="ttl"),
    "an unknown mode": No(
        frozen(all=True, reason="x", mode="stop"), INVALID, "INVALID", "freeze or hold", field="mode"
    ),
    "a reason of a book's length": No(
        frozen(all=True, reason="x" * 1025), INVALID, "INVALID", "at most 1024", field="reason"
    ),
    "a reason with an escape sequence": No(
        frozen(all=True, reason="\x1b[2J all is well"), INVALID, "INVALID", "no control characters", field="reason"
    ),
    "a reason that turns the writing round": No(
        frozen(all=True, reason="\u202e42 tnedicni"), INVALID, "INVALID", "no control characters", field="reason"
    ),
    "an apply with a request id without end": No(
        lambda api: api.catalog.ApplyService(
            pb.ApplyServiceRequest(yaml=service_file("b", 10001), request_id="x" * 129)
        ),
        INVALID,
        "INVALID",
        "at most 128",
        field="request_id",
    ),
    "unfreeze of nothing": No(unfrozen(all=True, reason="over"), NOT_FOUND, "NOT_FOUND", "nothing is frozen"),
    "unfreeze of another scope": No(
        unfrozen(services=["scorer"], reason="over"), NOT_FOUND, "NOT_FOUND", "in force: *", after=(freeze,)
    ),
    "unfreeze without a reason": No(unfrozen(all=True), INVALID, "INVALID", "over", after=(freeze,), field="reason"),
    "a request id for another request": No(
        act("Pause", request_id="start-v2"), INVALID, "REQUEST_ID_REUSED", "start-v2", after=(start,)
    ),
    "a request id without end": No(
        act("Pause", request_id="x" * 129), INVALID, "INVALID", "at most 128", after=(start,), field="request_id"
    ),
}


@pytest.mark.proves("bad-input 33", "bad-input 34", "track-record 8", "track-record 9")
@pytest.mark.parametrize("no", [pytest.param(no, id=name) for name, no in NOES.items()])
async def test_it_is_refused_and_nothing_changes(served: Doors, no: No) -> None:
    """Each refusal has its status, its stable word and a reason to act on; the store stays as it was."""
    for step in no.after:
        await step(served.api)
    before = await served.store.load()
    with refused() as told:
        await no.ask(served.api)
    assert (told.status, told.reason) == (no.status, no.reason)
    assert no.message in told.message
    assert no.field in told.violations or not no.field
    assert await served.store.load() is before


@pytest.mark.proves("track-record 29")
async def test_everything_wrong_with_a_freeze_comes_back_at_once(doors: Doors) -> None:
    """Who forgot the reason and mistook the ttl learns of both."""
    with refused() as told:
        await doors.api.switch.Freeze(pb.FreezeRequest(ttl="soon", mode="thaw"))
    assert told.status is INVALID
    assert set(told.violations) == {"services", "reason", "ttl", "mode"}


@pytest.mark.proves("track-record 26")
async def test_everything_wrong_with_an_unfreeze_comes_back_at_once(doors: Doors) -> None:
    """Who names services beside all and forgets the reason learns of both."""
    with refused() as told:
        await doors.api.switch.Unfreeze(pb.UnfreezeRequest(services=["scorer"], all=True))
    assert told.status is INVALID
    assert set(told.violations) == {"services", "reason"}


async def test_every_violation_of_a_file_comes_back_with_its_line(doors: Doors) -> None:
    """One apply tells everything that is wrong with a file, each with field and line."""
    text = service_file() + "policy: {steps: [50%, 5%], dwel: 60s}\ntimeout: 0s\n"
    with refused() as told:
        await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text))
    assert told.status is INVALID
    assert set(told.violations) == {"policy.steps", "policy.dwel", "timeout"}
    assert told.violations["policy.dwel"] == "line 8: unknown key; did you mean dwell?"
    assert told.violations["timeout"].startswith("line 9: ")


async def test_a_thousand_violations_still_fit_into_a_status(doors: Doors) -> None:
    """Statuses travel in trailers, of which clients take 8 KiB: what does not fit is counted, never a broken call."""
    text = "".join(f"unknown-key-number-{i}-wrong: ä\n" for i in range(1000))
    with refused() as told:
        await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text))
    assert told.status is INVALID
    assert told.reason == "INVALID"
    assert "violations more" in told.violations[""]
    assert told.trailers < 5 * 1024


@pytest.mark.parametrize("name", ["x" * 200_000, "ä" * 60_000, "\u202e" * 1000, "%" * 5000])
async def test_a_monstrous_name_does_not_break_the_answer(doors: Doors, name: str) -> None:
    """A name is quoted back only as far as it fits."""
    with refused() as told:
        await doors.api.catalog.GetService(pb.GetServiceRequest(service=name))
    assert (told.status, told.reason) == (NOT_FOUND, "NOT_FOUND")
    assert len(told.message) < 1100


async def test_a_file_above_its_limit_is_refused_in_words(doors: Doors) -> None:
    """A file a little over 256 KiB gets the limit as its answer; a message far above is not even read."""
    with refused() as told:
        await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml="#" * (MAX_BYTES + 1)))
    assert (told.status, told.message) == (INVALID, "line 1: a service file has at most 256 KiB")
    with refused() as told:
        await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml="#" * MAX_REQUEST))
    assert told.status is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_file_at_its_limit_is_read(doors: Doors) -> None:
    """256 KiB exactly are a service file like any other."""
    text = service_file()
    text += "#" * (MAX_BYTES - len(text))
    answer = await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text))
    assert answer.service.name == "scorer"


async def test_metadata_above_its_limit_is_refused(doors: Doors) -> None:
    """More metadata than any client needs ends the call, not the server."""
    with refused() as told:
        await doors.api.switch.ListFreezes(pb.ListFreezesRequest(), metadata=(("x-more", "y" * (MAX_METADATA + 1)),))
    assert told.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    await doors.api.switch.ListFreezes(pb.ListFreezesRequest(), metadata=(("x-more", "y" * (MAX_METADATA // 2)),))


async def test_a_user_without_bounds_is_refused(doors: Doors) -> None:
    """The name that a client gives goes into the ledger: 64 printable characters at most."""
    at_limit = (("haldane-user", "u" * 64),)
    frozen = await doors.api.switch.Freeze(pb.FreezeRequest(all=True, reason="x"), metadata=at_limit)
    assert frozen.freezes[0].who == "u" * 64 + "@127.0.0.1"
    with refused() as told:
        await doors.api.switch.Freeze(pb.FreezeRequest(all=True, reason="x"), metadata=(("haldane-user", "u" * 65),))
    assert told.status is INVALID
    assert "haldane-user" in told.violations


async def test_a_client_without_a_name_is_anonymous(doors: Doors) -> None:
    """Whoever gives no name is written down with the address alone."""
    frozen = await doors.api.switch.Freeze(pb.FreezeRequest(all=True, reason="x"))
    assert frozen.freezes[0].who == "anonymous@127.0.0.1"


async def test_a_fault_of_our_own_ends_one_call_and_nothing_else(doors: Doors) -> None:
    """An unexpected error is INTERNAL to the client, keeps its text in the log, and the next call is answered."""
    doors.fleet.fault = RuntimeError("secret of the inside")
    with refused() as told:
        await doors.api.fleet.ListProxies(pb.ListProxiesRequest())
    assert told.status is grpc.StatusCode.INTERNAL
    assert "secret" not in told.message
    doors.fleet.fault = None
    assert not (await doors.api.fleet.ListProxies(pb.ListProxiesRequest())).proxies


async def test_bytes_that_are_no_message_end_one_call(doors: Doors) -> None:
    """What is not a protobuf message is refused; the server lives."""
    call = doors.api.channel.unary_unary("/haldane.admin.v1.Catalog/GetService")
    with refused() as told:
        await call(b"\xff\xff\xff\xff")
    assert (told.status, told.reason) == (INVALID, "INVALID")
    assert "haldane.admin.v1.GetServiceRequest" in told.message
    assert not (await doors.api.fleet.ListProxies(pb.ListProxiesRequest())).proxies


@pytest.mark.proves("fault 8")
async def test_without_the_store_looks_go_on_and_acts_are_refused(served: Doors) -> None:
    """A store that is away: what is served is still shown, with the reason why nothing is decided; a freeze is not
    promised (UNAVAILABLE, NOT_DURABLE)."""
    served.store.away = True
    with refused() as told:
        await freeze(served.api)
    assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_DURABLE")
    with refused() as told:
        await served.api.ledger.ListEvents(pb.ListEventsRequest())
    assert (told.status, told.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_DURABLE")
    shown = await served.api.catalog.GetService(pb.GetServiceRequest(service="scorer"))
    assert (shown.name, shown.store_problem) == ("scorer", "the disk is away")
    listed = await served.api.catalog.ListServices(pb.ListServicesRequest())
    assert listed.store_problem == "the disk is away"
    frozen = await served.api.switch.ListFreezes(pb.ListFreezesRequest())
    assert frozen.store_problem == "the disk is away"
    served.store.away = False
    await served.api.ledger.ListEvents(pb.ListEventsRequest())  # as the probe does: what is looked at waits for nothing
    shown = await served.api.catalog.GetService(pb.GetServiceRequest(service="scorer"))
    assert shown.store_problem == ""


@pytest.mark.proves("fault 10")
async def test_a_lost_answer_is_settled_by_the_request_id(served: Doors) -> None:
    """The store applied the freeze but its answer was lost: a retry with the same id finds it and sets no second."""
    asked = pb.FreezeRequest(all=True, reason="incident 42", request_id="f-1")
    served.store.mute = True
    with refused() as told:
        await served.api.switch.Freeze(asked)
    assert told.reason == "NOT_DURABLE"
    served.store.mute = False
    before = (await served.store.load()).revision
    again = await served.api.switch.Freeze(asked)
    assert [freeze.reason for freeze in again.freezes] == ["incident 42"]
    assert (await served.store.load()).revision == before == again.revision
