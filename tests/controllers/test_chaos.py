"""Controllers, members of etcd and quorums die under load, with two Envoys: clients notice nothing, nothing is lost."""

import os
import time
from collections.abc import Awaitable, Callable

import pytest

from controller.demo.harness.child_processes import Children
from tests.controllers.conftest import Make
from tests.controllers.trial import TTL, Trial, trial
from tests.support.model import Behaviour
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.requires("etcd"), pytest.mark.envoy]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "50"))
QUORUM_LOST = 30.0
"""Seconds."""


async def harm_at_the_kill(made: Trial) -> tuple[float, float]:
    """The leader is killed as the canary begins to fail; its successor rolls it back. The seconds from the kill to the
    last bad answer, and until another one decided."""
    canary = await made.start()
    leader = await made.leader()
    made.blamed.add(canary)
    made.models[canary].behaviour = Behaviour(errors=0.5)
    killed = time.monotonic()
    leader.kill()
    await made.leader(other_than=leader)
    decided = time.monotonic()
    await made.until_served(lambda split: canary not in split)
    await made.ended("ROLLED_BACK")
    bad = [a.ended for a in made.load.results if a.version == canary and not a.ok and a.ended >= killed]
    made.models[canary].behaviour = Behaviour()
    made.blamed.clear()
    made.load.results[:] = [a for a in made.load.results if a.ok or a.version != canary]
    await leader.start(40)
    return max(bad, default=killed) - killed, decided - killed


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


FAULTS: dict[str, Callable[[Trial], Awaitable[object]]] = {
    "leader killed": Trial.kill_leader,
    "leader paused": Trial.pause_leader,
    "leader cut off": Trial.cut_leader_off,
    "member killed": Trial.kill_member,
    "quorum lost": lambda made: made.lose_quorum(QUORUM_LOST),
    "all restarted": Trial.roll_everything,
    "freeze, leader killed": Trial.freeze_through_a_follower,
}


@pytest.mark.soak
@pytest.mark.timeout(7200)
async def test_rounds_of_chaos(processes: Children, controller: Make) -> None:
    """Each round is a rollout with one fault in its middle, the kinds in turn; every third kill comes as harm begins.

    `CHAOS_ROUNDS` rounds.
    """
    async with trial(processes, controller, seconds=7000) as made:
        kinds = list(FAULTS)
        for number in range(ROUNDS):
            kind = kinds[number % len(kinds)]
            if kind == "leader killed" and number % (3 * len(kinds)) == 0:
                kind = "harm as the leader is killed"
                last_bad, decided = await harm_at_the_kill(made)
                print(f"    another decides after {decided:.1f} s, last bad answer after {last_bad:.1f} s", flush=True)
            else:
                await made.start()
                await FAULTS[kind](made)
                await made.ended("PROMOTED", 120)
            await wait_until(lambda: all(each.running for each in made.controllers))
            counts = await made.check()
            shown = f"{counts.requests} requests, wrong: {counts.wrong or 'nothing'}, stood still {made.stalled:.1f} s"
            print(f"round {number + 1}: {kind}: {shown}", flush=True)
            assert counts.wrong == {}, kind
