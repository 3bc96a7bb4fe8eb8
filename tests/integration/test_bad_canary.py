"""A bad canary is rolled back automatically, however it is bad; clients see few of its answers, and none after that."""

import time

import pytest

from controller.demo.harness.child_processes import Children
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.system import running_system
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.envoy, pytest.mark.proves("xds-rule 54")]

POLICY = """\
  steps: [20%, 50%]
  dwell: 30s
  warmup: 1s
  patience: 0s
  bake: 1s
"""


DIES = None
FAULTS = {
    "a fifth of the answers are 500": Behaviour(errors=0.2),
    "it dies": DIES,
    "it hangs": Behaviour(hang=1.0),
    "a fifth of the answers are 422": Behaviour(errors=0.2, status=422),
    "a fifth of the answers take 300 ms": Behaviour(delay=0.3, slow=0.2),
    "a third of its chunked answers break off": Behaviour(body="chunked", cut=0.3),
    "a third of its event streams break off": Behaviour(body="sse", cut=0.3),
}
MORE_FAULTS = {
    "it cuts connections": Behaviour(reset=0.3),
    "it is 100 ms slower": Behaviour(delay=0.1),
    "a tenth of the requests hang": Behaviour(hang=0.1),
    "one in fifty answers is 500": Behaviour(errors=0.02),
    "one in twenty of its event streams breaks off": Behaviour(body="sse", cut=0.05),
    "all of its chunked answers break off": Behaviour(body="chunked", cut=1.0),
}
CASES = [pytest.param(fault, id=name) for name, fault in FAULTS.items()]
CASES += [pytest.param(fault, id=name, marks=pytest.mark.soak) for name, fault in MORE_FAULTS.items()]


@pytest.mark.parametrize("fault", CASES)
async def test_harm_is_taken_back(processes: Children, fault: Behaviour | None) -> None:
    """The canary turns bad in the middle of a step. Clients get bad answers until the rollback, and none after it."""
    async with running_system(processes, policy=POLICY) as system, steady(system.entry, 100, timeout=5.0) as load:
        await wait_until(lambda: len(load.results) > 20)
        await system.start()
        await system.reach("PROGRESSING")
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 200, 30.0)  # so that stable's own latency is known
        begun = time.monotonic()
        if fault is DIES:
            await system.models["v2"].crash()
        else:
            system.models["v2"].behaviour = fault
        told = await system.reach("ROLLED_BACK")
        gone = time.monotonic()
        assert dict(told.weights) == {"v1": 10_000, "v2": 0}
        await wait_until(lambda: load.results[-1].sent > gone + 1.0)
        assert [a for a in load.results if a.version == "v2" and a.sent > gone + 0.1] == []
        assert all(begun <= a.ended and a.sent <= gone for a in load.results if not a.ok)
        assert (await system.kinds())[-2:] == ["rollback", "rolled_back"]


async def test_a_canary_whose_name_does_not_resolve_gets_no_weight(processes: Children) -> None:
    """It waits and says why, and no request fails; with endpoints that can be reached it begins by itself."""
    async with (
        running_system(processes, policy=POLICY, endpoints={"v2": "model.invalid:80"}) as system,
        steady(system.entry, 100) as load,
    ):
        await wait_until(lambda: len(load.results) > 20)
        await system.start()

        async def waits() -> bool:
            return "do its host names resolve" in (await system.rollout()).blocker.text

        await wait_until(waits)
        since = len(load.results)
        await wait_until(lambda: len(load.results) > since + 300)
        told = await system.rollout()
        assert (told.phase, dict(told.weights)) == ("WARMING", {"v1": 10_000, "v2": 0})
        assert [a for a in load.results if not a.ok or a.version != "v1"] == []
        system.endpoints = {"v2": system.models["v2"].address.replace("127.0.0.1", "localhost")}
        await system.apply()
        await system.reach("PROGRESSING")
        assert [a for a in load.results if not a.ok] == []
        assert (await system.kinds())[-2:] == ["step_advanced", "rollout_warm"]
