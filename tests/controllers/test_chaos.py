"""Controllers, members of etcd and quorums die under load, with two Envoys: clients notice nothing, nothing is lost."""

import pytest

from controller.demo.harness.child_processes import Children
from tests.controllers import network_faults
from tests.controllers.conftest import Make
from tests.controllers.networked import networked_trial
from tests.controllers.rounds import FAULTS, harm_at_the_kill, play
from tests.controllers.trial import LONG_TTL, TTL, Trial, trial
from tests.support import network, wall_clock

pytestmark = [pytest.mark.requires("etcd"), pytest.mark.envoy]

SECONDS = 7000.0


@pytest.mark.timeout(150)
async def test_harm_that_begins_as_the_leader_is_killed_is_rolled_back(processes: Children, controller: Make) -> None:
    """By the successor, at both Envoys, whichever controller they were connected to; nothing else fails, and the
    ledger, what was served and what was decided agree."""
    async with trial(processes, controller, count=2, members=1) as made:
        last_bad, decided = await harm_at_the_kill(made)
        counts = await made.check()
    print(f"killed -> another decides {decided:.1f} s, last bad answer {last_bad:.1f} s (lease {TTL} s)")
    assert counts.wrong == {}
    assert counts.requests > 100


@pytest.mark.soak
@pytest.mark.proves("fault 9", "fault 49")
@pytest.mark.timeout(SECONDS + 200)
async def test_rounds_of_chaos(processes: Children, controller: Make) -> None:
    """Rounds in which processes fail, and the leader's links to etcd."""
    async with trial(processes, controller, seconds=SECONDS, ttl=LONG_TTL) as made:
        await play(made, FAULTS | {"leader cut off": Trial.cut_leader_off})


@pytest.mark.soak
@pytest.mark.proves("fault 9", "fault 46", "fault 47", "fault 48", "fault 49")
@pytest.mark.timeout(SECONDS + 200)
async def test_rounds_of_chaos_in_networks(processes: Children) -> None:
    """Rounds in which links, clocks, disks and processes fail, with each controller, member and Envoy in a network
    namespace of its own."""
    if why := network.why_not() or wall_clock.why_not():
        pytest.skip(why)
    async with networked_trial(processes, SECONDS) as made:
        await play(made, network_faults.FAULTS | FAULTS)
