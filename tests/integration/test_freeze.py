"""The kill switch: while it holds nothing moves, whatever happens; after it, what is due happens."""

import asyncio
import json
import time

import aiohttp
import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.support.load import by_version, steady
from tests.support.model import Behaviour
from tests.support.system import QUICK, SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy


async def suppressed(system: System) -> bool:
    """Whether the ledger says that a rollback was due and was not done."""
    return "rollback_suppressed" in await system.kinds()


@pytest.mark.soak
async def test_a_freeze_holds_through_harm_and_a_kill_and_ends_in_a_rollback(processes: Children) -> None:
    """Frozen by curl; the canary does harm; the controller is killed and comes back: the share stays what it was, and
    the ledger has said once what was not done. Lifted, it rolls back."""
    async with running_system(processes, policy=QUICK) as system, steady(system.entry, 100) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await system.reach("PROGRESSING")
        await freeze_by_http(system)
        frozen = time.monotonic()
        system.models["v2"].behaviour = Behaviour(errors=0.5)
        await wait_until(lambda: suppressed(system), 60.0, every=0.1)
        system.controller.kill()
        await asyncio.sleep(1.0)  # no one controls
        await system.controller.start()
        told = await system.reach("PROGRESSING")
        assert [(f.scope, f.reason) for f in told.freezes] == [("*", "incident 42")]
        back = time.monotonic()
        await wait_until(lambda: load.results[-1].sent > back + 5.0, 30.0)
        assert dict((await system.rollout()).weights) == {"v2": 2000, "v1": 8000}
        seen = by_version(a for a in load.results if a.sent > frozen)
        assert seen["v2"] / seen.total() == pytest.approx(0.2, abs=4 * (0.16 / seen.total()) ** 0.5)
        assert (await system.kinds()).count("rollback_suppressed") == 1
        await system.stubs.killswitch.Unfreeze(admin.UnfreezeRequest(all=True, reason="over"))
        await system.reach("ROLLED_BACK")
        gone = time.monotonic()
        await wait_until(lambda: load.results[-1].sent > gone + 0.5)
        assert [a for a in load.results if a.version == "v2" and a.sent > gone + 0.1] == []


@pytest.mark.soak
async def test_a_freeze_stops_a_good_canary_and_commands_but_not_the_judge(processes: Children) -> None:
    """No advance, no promotion by hand, no start; the verdicts go on. It ends by itself at its ttl, with a line."""
    async with running_system(processes, policy="  steps: [50%]\n  dwell: 1s\n  warmup: 0s\n  bake: 1s\n") as system:
        async with steady(system.entry, 200) as load:
            await wait_until(lambda: len(load.results) > 20)
            await system.start()
            answer = await system.stubs.killswitch.Freeze(
                admin.FreezeRequest(services=[SERVICE], reason="a demonstration", ttl="4s")
            )
            assert [f.scope for f in answer.freezes] == [SERVICE]
            with pytest.raises(Exception, match=r"FROZEN|frozen"):
                await system.stubs.rollouts.Promote(admin.RolloutRequest(service=SERVICE, reason="no patience"))
            before = (await system.rollout()).traffic["v2"].requests
            await wait_until(lambda: more_requests(system, before + 100))
            assert (await system.rollout()).weights["v2"] == 5000
            await wait_until(lambda: has_line(system, "freeze_expired"), 30.0)
            await system.reach("PROMOTED")
        assert [a for a in load.results if not a.ok] == []


async def more_requests(system: System, count: int) -> bool:
    """Whether the judge has seen so many of the canary's requests."""
    return (await system.rollout()).traffic["v2"].requests > count


async def has_line(system: System, kind: str) -> bool:
    """Whether the ledger has a line of that kind."""
    return kind in await system.kinds()


async def freeze_by_http(system: System) -> None:
    """As with curl: for all services, until lifted."""
    async with aiohttp.ClientSession() as session:
        body = {"service": None, "reason": "incident 42", "ttl": None}
        async with session.post(f"http://{system.controller.http}/freeze", json=body) as response:
            assert response.status == 200, await response.text()
            assert json.loads(await response.text())["reason"] == "incident 42"
