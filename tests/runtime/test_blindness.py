"""What the ledger says of reports that stop and come back."""

from controller.core.control.commands import Verb
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.runtime.world import running


async def test_a_new_rollout_is_no_sign_that_reports_arrive_again() -> None:
    """Blind, taken back by hand, started once more, and still no report: sight is back when a report is."""
    clock = FakeClock()
    async with running(MemoryStore(clock=clock), clock) as world:
        await world.apply()
        await world.act(Verb.START, canary="v2")
        await world.ticks(4)
        for _ in range(20):
            clock.advance(1)
            await world.look()
        await world.act(Verb.ROLLBACK)
        for _ in range(20):
            clock.advance(1)
            await world.look()
        await world.act(Verb.START, canary="v2")
        for _ in range(20):
            clock.advance(1)
            await world.look()
        assert [kind for kind in await world.kinds() if kind in ("blind", "sight_back")] == ["blind"]
        await world.ticks(1)
        assert (await world.kinds())[-1] == "sight_back"
