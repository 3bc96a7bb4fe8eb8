"""The controller dies at each named point of its flow: what is durable is served, what is not never happened."""

import pytest

from controller.demo.harness.child_processes import Children
from controller.process.fault_points import POINTS
from tests.faults.trial import lost, trial

SELDOM = {"start:before", "freeze:before", "freeze:after", "drain:before"}
"""The points that one life of this rollout visits less than three times."""

pytestmark = [pytest.mark.envoy, pytest.mark.proves("track-record 11")]


@pytest.mark.proves("death 1", "fault 2", "fault 3")
async def test_a_start_and_a_freeze_are_whole_or_not_at_all_wherever_the_controller_dies(processes: Children) -> None:
    """Killed before a start is committed, within the commit and after it; before a freeze is, and after it.

    What was not committed never happened, and can be asked for again. What was, is there in the next life, which
    answers the same request again with it. Envoy's split moves only for what was committed, and the freeze holds.
    """
    async with trial(processes, fault="commit:before/rollout_started=kill") as made:
        assert await lost(made.start("start-1"))
        await made.died()
        await made.live("commit:inside/rollout_started=kill")
        assert await made.kinds() == ["service_applied"]
        assert await lost(made.start("start-1"))
        await made.died()
        await made.live("commit:after/rollout_started=kill")
        assert await made.kinds() == ["service_applied"]
        assert await lost(made.start("start-1"))
        await made.died()
        assert made.watcher.splits == [{"v1": 10_000}]
        await made.live("freeze:before=kill")
        await made.serves({"v2": 2000, "v1": 8000})
        assert (await made.start("start-1")).canary == "v2"
        assert await lost(made.freeze("freeze-1"))
        await made.died()
        await made.live("freeze:after=kill")
        assert await made.frozen() == []
        assert await lost(made.freeze("freeze-1"))
        await made.died()
        await made.live()
        assert await made.frozen() == ["incident 42"]
        await made.freeze("freeze-1")
        await made.connected()
        held = dict((await made.system.rollout()).weights)  # on a slow machine a life may have advanced it before
        await made.serves(held)
        await made.dwell(2)
        assert made.split == held == dict((await made.system.rollout()).weights)
        assert 2000 <= held["v2"] < 10_000
        kinds = await made.kinds()
        assert (kinds.count("rollout_started"), kinds.count("freeze_set")) == (1, 1)
        await made.end()


@pytest.mark.proves("death 2")
@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("point", "visit"), [(point, visit) for point in POINTS for visit in (1, 3) if visit == 1 or point not in SELDOM]
)
async def test_a_rollout_with_a_freeze_in_it_ends_promoted_wherever_the_controller_dies(
    processes: Children, point: str, visit: int
) -> None:
    """Started, frozen, unfrozen, promoted and told to end; killed at that visit of that point, the next life goes on.

    A test that never comes to its point says so: at the end the controller must have died.
    """
    async with trial(processes) as made:
        made.kill()
        await made.launch(f"{point}=kill@{visit}")
        await made.insist(lambda: made.start("start-1"))
        await made.insist(lambda: made.freeze("freeze-1"))
        await made.dwell(1)
        await made.insist(lambda: made.unfreeze("unfreeze-1"))
        await made.insist(made.promoted, within=60)
        await made.told_to_end()
        assert made.deaths, f"{point} was not visited {visit} times"
        kinds = await made.kinds()
        for kind in (
            "rollout_started",
            "freeze_set",
            "freeze_lifted",
            "step_advanced",
            "promotion_started",
            "promoted",
        ):
            assert kinds.count(kind) == 1, kinds
        await made.end()
