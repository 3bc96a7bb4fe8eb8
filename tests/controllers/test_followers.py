"""Whichever of the controllers an operator comes to: the same is seen there, and the same can be done."""

import time
from types import SimpleNamespace

import aiohttp
import grpc
import pytest

from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.builders import service_file
from tests.controllers.conftest import TTL, Make
from tests.controllers.test_members import leaders, until
from tests.support.controller import AdminStubs, ControllerProcess
from tests.support.waiting import wait_until
from tests.xds.independent_client import CDS, DeltaClient

pytestmark = [pytest.mark.requires("etcd")]

SERVICE = "scorer"
NODE = "probe-1"
"""Of the client that NACKs."""


async def rollout(stubs: AdminStubs) -> pb.Rollout:
    """What that controller says of the rollout."""
    return await stubs.rollouts.GetRollout(pb.GetRolloutRequest(service=SERVICE), wait_for_ready=True)


async def console(asked: ControllerProcess) -> dict[str, object]:
    """What its console shows of the service, and of who judges."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{asked.http}/console/state") as answer:
        page = await answer.json()
    (service,) = page["services"]
    return {**{name: service[name] for name in ("verdict", "doing", "grounds", "blocker")}, **page["judged"]}


def said(of: pb.Rollout) -> tuple[object, ...]:
    """Everything that only the one that decides knows, as far as it stands still in this test."""
    reasons = [each for each in of.reasons if "for " not in each]
    return of.verdict, reasons, [each.code for each in of.details], of.blocker.kind


async def test_a_follower_shows_and_does_what_the_leader_does(controller: Make) -> None:
    """Verdict, blocker, proxies and console; a retry reaches the proxies of both, asked at either. After kill -9 of
    the leader nothing old is shown: it says who cannot be reached, until it decides itself."""
    first, second = controller("one"), controller("two")
    await first.start()
    await until(first, lambda every: leaders(every) == ["one"])
    await second.start()
    async with (
        first.stubs() as leader,
        second.stubs() as follower,
        grpc.aio.insecure_channel(second.xds) as channel,
    ):
        text = service_file(SERVICE, policy="  warmup: 0s\n  patience: 0s\n")
        await follower.catalog.ApplyService(pb.ApplyServiceRequest(yaml=text, reason="test"), wait_for_ready=True)
        started = pb.StartCanaryRequest(service=SERVICE, canary="v2", reason="test")
        assert (await follower.rollouts.StartCanary(started)).judged.controller == "one"
        proxy = DeltaClient(SimpleNamespace(channel=channel))  # type: ignore[arg-type]
        await proxy.request(CDS)
        await proxy.receive()
        await proxy.request(CDS, nonce=proxy.last.nonce, error="no such filter")

        async def same() -> bool:
            theirs, shown = await rollout(leader), await rollout(follower)
            assert (theirs.judged.controller, shown.judged.controller) == ("one", "one")
            assert (theirs.judged.problem, shown.judged.problem) == ("", "")
            assert abs(time.time() - shown.judged.as_of) < 5
            return bool(shown.details and said(shown) == said(theirs))

        await wait_until(same)
        page = await console(second)
        assert (page["controller"], page["problem"], page["verdict"]) == ("one", "", "unknown")
        assert page["grounds"]

        for asked in (leader, follower):

            async def nacked(asked: AdminStubs = asked) -> bool:
                listed = await asked.fleet.ListProxies(pb.ListProxiesRequest())
                assert listed.judged.controller == "one"
                rows = [(each.node, each.controller, each.refused.error) for each in listed.proxies]
                return rows == [(NODE, "two", "no such filter")] and not listed.unseen

            await wait_until(nacked)
            retried = await asked.fleet.Retry(pb.RetryRequest(service=SERVICE))
            assert (list(retried.nodes), list(retried.unreached)) == ([NODE], [])
            await proxy.receive()
            await proxy.request(CDS, nonce=proxy.last.nonce, error="no such filter")

        killed = time.time()
        first.kill()
        retried = await follower.fleet.Retry(pb.RetryRequest())
        assert [each.controller for each in retried.unreached] == ["one"]
        gaps: set[str] = set()

        async def decides_itself() -> bool:
            shown = await rollout(follower)
            if shown.judged.problem:
                gaps.add(shown.details[0].code)
                assert (shown.verdict, shown.HasField("blocker")) == ("unknown", False)
            else:
                assert shown.judged.controller == "two" or shown.judged.as_of <= killed
            return shown.judged.controller == "two" and not shown.judged.problem

        await wait_until(decides_itself, TTL + 10)
        assert "leader_unreachable" in gaps
