"""The kill switch: while it holds nothing moves, whatever happens; after it, what is due happens."""

import asyncio
import json
import time

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.integration.world import QUICK, SERVICE, World, world
from tests.support.load import by_version, steady
from tests.support.model import Behaviour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy


async def suppressed(at: World) -> bool:
    """Whether the ledger says that a rollback was due and was not done."""
    return "rollback_suppressed" in await at.kinds()


@pytest.mark.soak
async def test_a_freeze_holds_through_harm_and_a_kill_and_ends_in_a_rollback(processes: Children) -> None:
    """Frozen by curl; the canary does harm; the controller is killed and comes back: the share stays what it was, and
    the ledger has told once what was not done. Lifted, it rolls back."""
    async with world(processes, policy=QUICK) as at, steady(at.entry, 100) as load:
        await wait_until(lambda: len(load.answers) > 20)
        await at.start()
        await at.reach("PROGRESSING")
        await freeze_by_http(at)
        frozen = time.monotonic()
        at.models["v2"].behaviour = Behaviour(errors=0.5)
        await wait_until(lambda: suppressed(at), 60.0, every=0.1)
        at.controller.kill()
        await asyncio.sleep(1.0)  # nobody controls
        await at.controller.start()
        told = await at.reach("PROGRESSING")
        assert [(f.scope, f.reason) for f in told.freezes] == [("*", "incident 42")]
        back = time.monotonic()
        await wait_until(lambda: load.answers[-1].sent > back + 5.0, 30.0)
        assert dict((await at.rollout()).weights) == {"v2": 2000, "v1": 8000}
        seen = by_version(a for a in load.answers if a.sent > frozen)
        assert seen["v2"] / seen.total() == pytest.approx(0.2, abs=4 * (0.16 / seen.total()) ** 0.5)
        assert (await at.kinds()).count("rollback_suppressed") == 1
        await at.doors.killswitch.Unfreeze(admin.UnfreezeRequest(all=True, reason="over"))
        await at.reach("ROLLED_BACK")
        gone = time.monotonic()
        await wait_until(lambda: load.answers[-1].sent > gone + 0.5)
        assert [a for a in load.answers if a.version == "v2" and a.sent > gone + 0.1] == []


@pytest.mark.soak
async def test_a_freeze_stops_a_good_canary_and_commands_but_not_the_judge(processes: Children) -> None:
    """No advance, no promotion by hand, no start; the verdicts go on. It ends by itself at its ttl, with a line."""
    async with world(processes, policy="  steps: [50%]\n  dwell: 1s\n  warmup: 0s\n  bake: 1s\n") as at:
        async with steady(at.entry, 200) as load:
            await wait_until(lambda: len(load.answers) > 20)
            await at.start()
            answer = await at.doors.killswitch.Freeze(
                admin.FreezeRequest(services=[SERVICE], reason="a demonstration", ttl="4s")
            )
            assert [f.scope for f in answer.freezes] == [SERVICE]
            with pytest.raises(Exception, match=r"FROZEN|frozen"):
                await at.doors.rollouts.Promote(admin.RolloutRequest(service=SERVICE, reason="no patience"))
            before = (await at.rollout()).traffic["v2"].requests
            await wait_until(lambda: more_requests(at, before + 100))
            assert (await at.rollout()).weights["v2"] == 5000
            await wait_until(lambda: has_line(at, "freeze_expired"), 30.0)
            await at.reach("PROMOTED")
        assert [a for a in load.answers if not a.ok] == []


async def more_requests(at: World, count: int) -> bool:
    """Whether the judge has seen so many of the canary's requests."""
    return (await at.rollout()).traffic["v2"].requests > count


async def has_line(at: World, kind: str) -> bool:
    """Whether the ledger has a line of that kind."""
    return kind in await at.kinds()


async def freeze_by_http(at: World) -> None:
    """As with curl: for all services, until lifted."""
    async with aiohttp.ClientSession() as session:
        body = {"service": None, "reason": "incident 42", "ttl": None}
        async with session.post(f"http://{at.controller.http}/freeze", json=body) as response:
            assert response.status == 200, await response.text()
            assert json.loads(await response.text())["reason"] == "incident 42"
