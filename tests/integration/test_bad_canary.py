"""A bad canary is taken back by itself, however it is bad; clients see few of its answers, and none after that."""

import time
from dataclasses import dataclass

import pytest

from controller.demo.processes import Children
from tests.integration.world import World, world
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

POLICY = """\
  steps: [20%, 50%]
  dwell: 30s
  warmup: 1s
  bake: 1s
"""


@dataclass(frozen=True)
class Fault:
    """How a version is bad; within how many seconds it must be gone; how many bad answers clients may have had."""

    behaviour: Behaviour | None
    within: float
    bad_answers: int


FAULTS = {
    "a fifth of the answers are 500": Fault(Behaviour(errors=0.2), 8.0, 40),
    "a fifth of the answers are 422": Fault(Behaviour(errors=0.2, status=422), 8.0, 40),
    "it dies": Fault(None, 5.0, 60),
    "it cuts connections": Fault(Behaviour(reset=0.3), 8.0, 60),
    "it hangs": Fault(Behaviour(hang=1.0), 12.0, 150),
    "it is 100 ms slower": Fault(Behaviour(delay=0.1), 12.0, 0),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_harm_is_taken_back(processes: Children, fault: Fault) -> None:
    """The canary turns bad in the middle of a step."""
    async with world(processes, policy=POLICY) as at, steady(at.entry, 100, timeout=5.0) as load:
        await wait_until(lambda: len(load.answers) > 20)
        await at.start()
        await at.reach("PROGRESSING")
        since = len(load.answers)
        await wait_until(lambda: len(load.answers) > since + 200)  # so that stable's own latency is known
        begun = time.monotonic()
        await turn_bad(at, fault)
        told = await at.reach("ROLLED_BACK", fault.within)
        gone = time.monotonic()
        assert dict(told.weights) == {"v1": 10_000, "v2": 0}
        await wait_until(lambda: load.answers[-1].sent > gone + 1.0)
        assert [a for a in load.answers if a.version == "v2" and a.sent > gone + 0.1] == []
        bad = [a for a in load.answers if not a.ok]
        assert len(bad) <= fault.bad_answers
        assert all(begun <= a.ended and a.sent <= gone for a in bad)
        assert (await at.kinds())[-2:] == ["rollback", "rolled_back"]


async def test_a_canary_whose_name_does_not_resolve_is_taken_back(processes: Children) -> None:
    """It has no server at all: Envoy's load reports know nothing of those requests, its metrics do."""
    async with (
        world(processes, policy=POLICY, endpoints={"v2": "model.invalid:80"}) as at,
        steady(at.entry, 100) as load,
    ):
        await wait_until(lambda: len(load.answers) > 20)
        await at.start()
        told = await at.reach("ROLLED_BACK", 10.0)
        assert "server errors" in told.phase_reason
        gone = time.monotonic()
        await wait_until(lambda: load.answers[-1].sent > gone + 0.5)
        assert [a for a in load.answers if not a.ok and a.sent > gone] == []


async def turn_bad(at: World, fault: Fault) -> None:
    """From now on the canary is bad."""
    if fault.behaviour:
        at.models["v2"].behaviour = fault.behaviour
    else:
        await at.models["v2"].crash()
