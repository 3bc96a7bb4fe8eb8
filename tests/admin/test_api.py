"""The admin API: what it shows and what it does."""

import json
from dataclasses import replace

import pytest

from controller.core.control.blocker import Blocker, BlockerKind
from controller.core.control.changes import fingerprint_of
from controller.core.control.sync import Sync
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.ledger_kind import LedgerKind
from controller.core.traffic.endpoint_health import EndpointHealth
from controller.core.traffic.reports import Traffic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.ports.fleet import ConfigState, ProxyStatus, TypeStatus
from controller.ports.observatory import Live
from tests.admin.doors import Doors, refused
from tests.builders import service_file

ALICE = (("haldane-user", "alice"),)


async def test_an_applied_service_is_shown_with_its_file(doors: Doors) -> None:
    """What was applied is what `get` shows, all weight on the stable; a second apply of the same changes nothing."""
    first = await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file()))
    again = await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file()))
    shown = await doors.api.catalog.GetService(pb.GetServiceRequest(service="scorer"))
    assert (first.unchanged, again.unchanged) == (False, True)
    assert again.service.revision == first.service.revision == shown.revision
    assert shown == first.service
    assert (shown.stable, dict(shown.weights), shown.listen) == ("v1", {"v1": 10_000}, "127.0.0.1:10000")
    assert list(shown.versions) == ["v1", "v2", "v3"]
    assert shown.yaml == service_file()
    assert not shown.HasField("rollout")


async def test_a_dry_run_stores_nothing(doors: Doors) -> None:
    """A dry run answers as an apply would and leaves the store as it was."""
    answer = await doors.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file(), dry_run=True))
    assert answer.service.name == "scorer"
    assert not (await doors.store.load()).services


async def test_lists_are_by_name_and_leave_the_files_out(served: Doors) -> None:
    """200 services with files of 256 KiB would fit no message, so a list names the services without their files."""
    await served.api.catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file("a", port=10001)))
    listed = await served.api.catalog.ListServices(pb.ListServicesRequest())
    assert [(s.name, s.yaml) for s in listed.services] == [("a", ""), ("scorer", "")]


async def test_a_deleted_service_is_gone(served: Doors) -> None:
    """After a delete nothing is listed."""
    answer = await served.api.catalog.DeleteService(pb.DeleteServiceRequest(service="scorer", reason="over"))
    assert answer.revision == 2
    assert not (await served.api.catalog.ListServices(pb.ListServicesRequest())).services


async def test_a_service_without_a_rollout_is_idle(served: Doors) -> None:
    """GetRollout before any rollout is no error: IDLE, all weight on the stable."""
    rollout = await served.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))
    assert (rollout.phase, rollout.stable, rollout.canary) == ("IDLE", "v1", "")
    assert dict(rollout.weights) == {"v1": 10_000}
    assert not (await served.api.rollouts.ListRollouts(pb.ListRolloutsRequest())).rollouts


async def test_a_rollout_is_started_paused_resumed_and_rolled_back(served: Doors) -> None:
    """Each act answers with the rollout as it is then, both versions in the weights, also at zero."""
    rollouts, asked = served.api.rollouts, pb.RolloutRequest(service="scorer", reason="look")
    started = await rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    assert (started.phase, started.step, list(started.steps)) == ("WARMING", 0, [500, 1000, 2500, 5000])
    assert dict(started.weights) == {"v1": 9500, "v2": 500}
    assert started.id
    assert (await rollouts.Pause(asked)).phase == "PAUSED"
    assert (await rollouts.Resume(asked)).phase == "WARMING"
    back = await rollouts.Rollback(pb.RollbackRequest(service="scorer", reason="bad answers"))
    assert (back.phase, back.phase_reason) == ("ROLLING_BACK", "bad answers")
    assert dict(back.weights) == {"v1": 10_000, "v2": 0}


async def test_a_promotion_gives_the_canary_everything(served: Doors) -> None:
    """Promote moves all weight to the canary at once; the service's own entry shows the same rollout."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    promoted = await served.api.rollouts.Promote(pb.RolloutRequest(service="scorer"))
    assert (promoted.phase, dict(promoted.weights)) == ("PROMOTING", {"v1": 500, "v2": 9500})
    shown = await served.api.catalog.GetService(pb.GetServiceRequest(service="scorer"))
    assert shown.rollout.phase == "PROMOTING"
    listed = await served.api.rollouts.ListRollouts(pb.ListRolloutsRequest())
    assert [r.service for r in listed.rollouts] == ["scorer"]


async def test_a_rollout_shows_what_the_judge_and_the_proxies_say(served: Doors) -> None:
    """Verdict, reasons, evidence, traffic and how many proxies are in sync stand beside what is stored."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    reason = Reason("5xx", "5xx: 4% against 0.1%", canary=0.04, stable=0.001, canary_n=50, evidence=31.0, limit=100.0)
    traffic = {"v2": Traffic(requests_per_second=7.5, error_rate=0.04, requests=50, errors=2)}
    dwell = Blocker(BlockerKind.DWELL, LedgerKind.STEP_ADVANCED, seconds=23.0, weight=500)
    verdict = Verdict(Outcome.UNKNOWN, (reason,))
    live = Live(verdict, "waits for proof", traffic, updated_at=1_700_000_234.0, blocker=dwell)
    live = replace(live, endpoints={"v1": EndpointHealth(3, 5, 5, 2)})
    served.fleet.synced = Sync(synced=2, total=3)
    await served.observatory.see("scorer", live)
    shown = await served.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))
    await served.observatory.see("scorer", replace(live, remark="", blocker=None))
    once = await served.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))
    assert list(once.reasons) == ["5xx: 4% against 0.1%"]
    assert not once.HasField("blocker")
    assert (shown.verdict, list(shown.reasons)) == ("unknown", ["5xx: 4% against 0.1%", "waits for proof"])
    blocker = shown.blocker
    assert (blocker.kind, blocker.stops, blocker.seconds_left, blocker.weight) == ("dwell", "step_advanced", 23.0, 500)
    assert blocker.text == "23 s of the dwell at 5% are left"
    assert (shown.proxies_synced, shown.proxies_total, shown.updated_at) == (2, 3, 1_700_000_234.0)
    assert (shown.details[0].code, shown.details[0].evidence, shown.details[0].limit) == ("5xx", 31.0, 100.0)
    assert shown.traffic["v2"].requests_per_second == 7.5
    listed = await served.api.catalog.GetService(pb.GetServiceRequest(service="scorer"))
    for endpoints in (shown.endpoints, listed.endpoints):
        assert {v: (health.healthy, health.total) for v, health in endpoints.items()} == {"v1": (3, 5)}


async def test_freezes_are_set_shown_and_lifted(served: Doors) -> None:
    """A freeze tells scope, reason, who, since and until, everywhere that its service is shown."""
    asked = pb.FreezeRequest(services=["scorer"], reason="incident 42", ttl="30m")
    frozen = await served.api.switch.Freeze(asked, metadata=ALICE)
    info = frozen.freezes[0]
    assert (info.scope, info.reason, info.who, info.mode) == ("scorer", "incident 42", "alice@127.0.0.1", "freeze")
    assert (info.verified_by, info.unverified) == ("", True)
    assert (info.since, info.until) == (1_700_000_000.0, 1_700_001_800.0)
    assert list((await served.api.switch.ListFreezes(pb.ListFreezesRequest())).freezes) == [info]
    assert list((await served.api.catalog.GetService(pb.GetServiceRequest(service="scorer"))).freezes) == [info]
    assert list((await served.api.rollouts.GetRollout(pb.GetRolloutRequest(service="scorer"))).freezes) == [info]
    lifted = await served.api.switch.Unfreeze(pb.UnfreezeRequest(services=["scorer"], reason="over"))
    assert list(lifted.lifted) == [info]
    assert not (await served.api.switch.ListFreezes(pb.ListFreezesRequest())).freezes


async def test_a_reason_is_kept_on_one_line(served: Doors) -> None:
    """Line breaks become spaces, so that no reason can look like two lines of the ledger."""
    await served.api.switch.Freeze(pb.FreezeRequest(all=True, reason=" incident 42:\n\tcard fraud "))
    info = (await served.api.switch.ListFreezes(pb.ListFreezesRequest())).freezes[0]
    assert info.reason == "incident 42: card fraud"


async def test_a_hold_of_everything_has_no_end_of_its_own(served: Doors) -> None:
    """`all` freezes every service; `hold` is the weaker mode; without a ttl it lasts until it is lifted."""
    await served.api.switch.Freeze(pb.FreezeRequest(all=True, reason="quarter's end", mode="hold"))
    info = (await served.api.switch.ListFreezes(pb.ListFreezesRequest())).freezes[0]
    assert (info.scope, info.mode, info.until) == ("*", "hold", 0.0)


async def test_proxies_are_listed_with_every_type(doors: Doors) -> None:
    """Each connected proxy: who it is, and how far it is per type, with the error of what it refused."""
    routes = TypeStatus(
        "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", ConfigState.ERROR, "7", "6", 990.0, "bad"
    )
    doors.fleet.statuses = (ProxyStatus("edge-1", "edge", "envoy 1.40.0", 900.0, (routes,), ConfigState.ERROR),)
    proxy = (await doors.api.fleet.ListProxies(pb.ListProxiesRequest())).proxies[0]
    assert (proxy.node, proxy.fleet, proxy.client, proxy.state) == ("edge-1", "edge", "envoy 1.40.0", "ERROR")
    assert (proxy.types[0].wanted, proxy.types[0].acknowledged, proxy.types[0].error) == ("7", "6", "bad")


async def test_the_ledger_has_who_did_what_and_why(served: Doors) -> None:
    """Every act is a line with who, why and the weights before and after; `after` and `limit` page through them."""
    start = pb.StartCanaryRequest(service="scorer", canary="v2", reason="release 7")
    await served.api.rollouts.StartCanary(start, metadata=ALICE)
    events = (await served.api.ledger.ListEvents(pb.ListEventsRequest())).events
    assert [(e.sequence, e.kind, e.service) for e in events] == [
        (1, "service_applied", "scorer"),
        (2, "rollout_started", "scorer"),
    ]
    assert (events[1].who, events[1].why) == ("alice@127.0.0.1", "release 7")
    assert dict(events[1].weights_before) == {"v1": 10_000}
    assert dict(events[1].weights_after) == {"v1": 9500, "v2": 500}
    assert json.loads(events[1].details)["canary"] == "v2"
    assert events[1].previous == events[0].hash
    later = await served.api.ledger.ListEvents(pb.ListEventsRequest(after=1, limit=5))
    assert list(later.events) == [events[1]]
    beyond = await served.api.ledger.ListEvents(pb.ListEventsRequest(after=2**64 - 1))
    assert not beyond.events


@pytest.mark.proves("track-record 27")
async def test_a_retry_of_an_apply_is_known_whatever_came_since(served: Doors) -> None:
    """Its port is another service's by now, so it would be refused; it was done, and takes nothing back."""
    catalog = served.api.catalog
    asked = pb.ApplyServiceRequest(yaml=service_file() + "timeout: 9s\n", request_id="a-1")
    await catalog.ApplyService(asked)
    moved = service_file(port=10001)
    await catalog.ApplyService(pb.ApplyServiceRequest(yaml=moved))
    await catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file("ranker")))
    again = await catalog.ApplyService(asked)
    assert again.service.yaml == moved


@pytest.mark.proves("track-record 28")
async def test_the_request_id_of_an_apply_is_not_taken_by_another_file(served: Doors) -> None:
    """Not even by one that says what is already there, and so would change nothing."""
    catalog = served.api.catalog
    await catalog.ApplyService(pb.ApplyServiceRequest(yaml=service_file() + "timeout: 9s\n", request_id="a-1"))
    other = service_file() + "timeout: 8s\n"
    await catalog.ApplyService(pb.ApplyServiceRequest(yaml=other))
    with refused() as told:
        await catalog.ApplyService(pb.ApplyServiceRequest(yaml=other, request_id="a-1"))
    assert told.reason == "REQUEST_ID_REUSED"


@pytest.mark.proves("bad-input 33")
async def test_a_retry_with_the_same_request_id_does_nothing_more(served: Doors) -> None:
    """A client that lost the answer asks again with the same id and gets the same rollout."""
    asked = pb.StartCanaryRequest(service="scorer", canary="v2", request_id="r-1")
    first = await served.api.rollouts.StartCanary(asked)
    again = await served.api.rollouts.StartCanary(asked)
    assert (again.id, again.revision) == (first.id, first.revision)
    assert len((await served.api.ledger.ListEvents(pb.ListEventsRequest())).events) == 2


async def test_a_request_id_belongs_to_what_was_meant(served: Doors) -> None:
    """A retry that means another canary is another request; one that names none is what it was before it could."""
    await served.api.rollouts.StartCanary(pb.StartCanaryRequest(service="scorer", canary="v2"))
    await served.api.rollouts.Pause(pb.RolloutRequest(service="scorer", request_id="p-1"))
    applied = await served.store.applied("p-1")
    assert applied
    assert applied.fingerprint == fingerprint_of("act", "scorer", "pause", "", "False")
    with refused() as told:
        await served.api.rollouts.Pause(pb.RolloutRequest(service="scorer", request_id="p-1", canary="v2"))
    assert told.reason == "REQUEST_ID_REUSED"
