"""Rounds of chaos: in each a rollout, one fault in its middle, and what was seen of it."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from controller.demo.harness.request_result import RequestResult
from tests.controllers.trial import STARTS_WITHIN, Trial
from tests.support.model import Behaviour
from tests.support.waiting import wait_until

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "50"))
ONLY = os.environ.get("CHAOS_ONLY", "")
"""A pattern: of those kinds of faults whose names have it."""
QUORUM_LOST = 30.0
"""Seconds."""

ENDS_WITHIN = 300.0
"""Seconds until a rollout that takes ten is over, on a busy machine."""
BUSY = int(os.environ.get("CHAOS_BUSY", "4"))
"""Busy loops, on a machine of two cores."""

Fault = Callable[[Any], Awaitable[object]]


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

    def is_blamed(result: RequestResult) -> bool:
        return result.version == canary and not result.ok

    bad = [result.ended for _, result in made.results() if is_blamed(result) and result.ended >= killed]
    made.models[canary].behaviour = Behaviour()
    made.blamed.clear()
    for load in made.loads:
        load.results[:] = [result for result in load.results if not is_blamed(result)]
    await leader.start(STARTS_WITHIN)
    return max(bad, default=killed) - killed, decided - killed


async def kill_leader_when_busy(made: Trial) -> None:
    """The leader is killed while the machine has much more to do than it can."""
    with busy(BUSY):
        await made.dwell(2.0)
        leader = await made.leader()
        leader.kill()
        await made.leader(other_than=leader)
        await leader.start(STARTS_WITHIN)
        await made.dwell(3.0)


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that only compute, until the end of the block and for two minutes at most."""
    code = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"
    running = [subprocess.Popen([sys.executable, "-c", code], process_group=0) for _ in range(loops)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


FAULTS: dict[str, Fault] = {
    "leader killed": Trial.kill_leader,
    "leader killed, machine busy": kill_leader_when_busy,
    "leader paused": Trial.pause_leader,
    "member killed": Trial.kill_member,
    "quorum lost": lambda made: made.lose_quorum(QUORUM_LOST),
    "all restarted": Trial.roll_everything,
    "freeze, leader killed": Trial.freeze_through_a_follower,
    "harm as the leader is killed": harm_at_the_kill,
}
"""Those that need nothing but the processes."""


async def play(made: Trial, faults: Mapping[str, Fault]) -> None:
    """`CHAOS_ROUNDS` rounds, the kinds of faults that match `CHAOS_ONLY` in turn. Each says what it has seen; at the
    end nothing may have been wrong in any of them."""
    kinds = [kind for kind in faults if re.search(ONLY, kind)]
    requests, wrong = 0, {}
    for number in range(1, ROUNDS + 1):
        kind = kinds[(number - 1) % len(kinds)]
        if faults[kind] is harm_at_the_kill:
            last_bad, decided = await harm_at_the_kill(made)
            print(f"    another decides after {decided:.1f} s, last bad answer after {last_bad:.1f} s", flush=True)
        else:
            await made.start()
            await faults[kind](made)
            await made.ended("PROMOTED", ENDS_WITHIN)
        await wait_until(lambda: all(each.running for each in made.controllers))
        counts = await made.check()
        requests += counts.requests
        still = max((taken for _, taken in made.stalls), default=0.0)
        slowest = max(result.milliseconds for _, result in made.results())
        seen = f"{requests} requests, wrong: {counts.wrong or 'nothing'}"
        print(
            f"round {number}: {kind}: {seen}; slowest {slowest:.0f} ms, this process stood still {still:.1f} s",
            flush=True,
        )
        if counts.wrong:
            wrong[f"round {number}: {kind}"] = counts.wrong
        made.forget()
    assert wrong == {}
