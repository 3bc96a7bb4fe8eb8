"""What the ledger says of reports that stop and come back."""

import pytest

from controller.core.control.commands import Verb
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import running_loop

pytestmark = pytest.mark.proves("track-record 63")


async def test_a_new_rollout_is_no_sign_that_reports_arrive_again() -> None:
    """Blind, rolled back by hand, started once more, and still no report: sight is back when a report is."""
    clock = FakeClock()
    async with running_loop(MemoryStore(clock=clock), clock) as harness:
        await harness.apply()
        await harness.act(Verb.START, canary="v2")
        await harness.ticks(4)
        for _ in range(20):
            clock.advance(1)
            await harness.look()
        await harness.act(Verb.ROLLBACK)
        for _ in range(20):
            clock.advance(1)
            await harness.look()
        await harness.act(Verb.START, canary="v2")
        for _ in range(20):
            clock.advance(1)
            await harness.look()
        assert [kind for kind in await harness.kinds() if kind in ("blind", "sight_back")] == ["blind"]
        await harness.ticks(1)
        assert (await harness.kinds())[-1] == "sight_back"
