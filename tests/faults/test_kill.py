"""kill -9 of the controller in every phase, under load, with a real Envoy: no one notices but the operator.

No request fails; Envoy's split stays and only ever is one that the ledger tells of; the next life goes on where the
last one stood, and the rollout ends as it should.
"""

import random

import pytest

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as admin
from tests.faults.trial import POLICY, lost, trial
from tests.support.system import SERVICE
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

GOOD = [
    "service_applied",
    "rollout_started",
    "rollout_warm",
    "step_advanced",
    "promotion_started",
    "bake_started",
    "promoted",
]
"""What the ledger tells of a good canary: each exactly once, however often the controller died."""


@pytest.mark.proves("death 3", "fault 3")
async def test_a_rollout_is_promoted_though_the_controller_dies_in_phase_after_phase(processes: Children) -> None:
    """Killed while the canary warms up, at a step, with the promotion decided and not yet served, and in the bake."""
    async with trial(processes) as made:
        await made.start()
        await made.system.reach("WARMING")
        await made.serves({"v2": 2000, "v1": 8000})
        made.kill()
        await made.live()
        await made.system.reach("PROGRESSING")
        made.kill()
        await made.live("commit:after/promotion_started=kill")
        await made.died(within=30)
        await made.dwell(0.5)
        assert made.split == {"v2": 5000, "v1": 5000}
        await made.live()
        await made.serves({"v2": 9500, "v1": 500})
        await made.system.reach("BAKING")
        made.kill()
        await made.live()
        await made.system.reach("PROMOTED")
        await made.serves({"v2": 10_000})
        assert await made.kinds() == GOOD
        await made.end()


@pytest.mark.proves("death 5", "fault 2")
@pytest.mark.soak
async def test_a_freeze_outlives_kill_and_so_does_the_rollback_that_it_holds(processes: Children) -> None:
    """Frozen with a canary that does harm: killed, frozen still, and recorded once. Unfrozen, the rollback is decided;
    killed before it is written nothing moves, killed after it is written the next life serves it."""
    async with trial(processes) as made:
        await made.start()
        await made.serves({"v2": 2000, "v1": 8000})
        await made.freeze()
        made.spoil()
        await wait_until(lambda: made.told("rollback_suppressed"), within=30, every=0.1)
        made.kill()
        await made.live("commit:before/rollback=kill")
        assert await made.frozen() == ["incident 42"]
        await made.connected()
        await made.dwell(2)
        assert made.split == {"v2": 2000, "v1": 8000}
        assert (await made.kinds()).count("rollback_suppressed") == 1
        await lost(made.unfreeze())  # answered or not: the rollback follows within milliseconds
        await made.died()
        await made.live("commit:after/rollback=kill")
        await made.died()
        assert made.split == {"v2": 2000, "v1": 8000}
        await made.live()
        await made.serves({"v1": 10_000})
        await made.system.reach("ROLLED_BACK")
        assert (await made.kinds()).count("rollback") == 1
        await made.end()


@pytest.mark.proves("death 4", "fault 1")
@pytest.mark.soak
@pytest.mark.parametrize("protocol", ["delta", "sotw"])
@pytest.mark.parametrize("phase", ["IDLE", "WARMING", "PROGRESSING", "PAUSED", "AWAITING_APPROVAL", "BAKING"])
async def test_killed_in_one_phase_the_next_life_begins_in_it(processes: Children, phase: str, protocol: str) -> None:
    """In either form of xDS: the split stays, the phase is the same, and the rollout ends promoted."""
    policy = POLICY + ("  approve: [100%]\n" if phase == "AWAITING_APPROVAL" else "")
    async with trial(processes, policy=policy, protocol=protocol) as made:
        if phase != "IDLE":
            await made.start()
        if phase == "PAUSED":
            await made.system.stubs.rollouts.Pause(admin.RolloutRequest(service=SERVICE, reason="lunch"))
        await made.system.reach(phase)
        await made.dwell(0.5)
        split, seen = made.split, len(made.watcher.splits)
        made.kill()
        await made.dwell(0.5)
        await made.live()
        assert (made.split, len(made.watcher.splits)) == (split, seen)
        if phase in ("IDLE", "PAUSED", "AWAITING_APPROVAL"):
            await made.connected()
            await made.dwell(2)
            await made.system.reach(phase, within=1)
            assert (made.split, len(made.watcher.splits)) == (split, seen)
        if phase == "IDLE":
            await made.start()
        if phase == "PAUSED":
            await made.system.stubs.rollouts.Resume(admin.RolloutRequest(service=SERVICE, reason="back"))
        if phase == "AWAITING_APPROVAL":
            await made.system.stubs.rollouts.Approve(admin.RolloutRequest(service=SERVICE, reason="yes"))
        await made.system.reach("PROMOTED")
        assert (await made.kinds()).count("step_advanced") == 1
        await made.end()


@pytest.mark.proves("death 6")
@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(8))
async def test_killed_at_moments_that_a_dice_chooses_the_rollout_is_promoted_all_the_same(
    processes: Children, seed: int
) -> None:
    """A life lasts a tenth of a second to six seconds after its start, until the canary is promoted."""
    dice = random.Random(seed)
    async with trial(processes) as made:
        await made.start()
        for _ in range(12):
            if await made.promoted():
                break
            made.kill()
            await made.live()
            await made.dwell(dice.uniform(0.1, 6.0))
        await made.insist(made.promoted, within=60)
        kinds = await made.kinds()
        assert [kinds.count(kind) for kind in GOOD] == [1] * len(GOOD), kinds
        await made.end()
