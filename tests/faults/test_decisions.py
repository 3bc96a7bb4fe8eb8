"""What automation and operators may not do to one another, and what bad luck with the figures may not do to either."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.control.commands import Command, Verb
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.rollout import Phase
from controller.core.model.view import View
from controller.runtime.operations import Operations
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import rollout_file, running_loop, running_rollout, tick_until

pytestmark = pytest.mark.looptime

BACK = {"v2": 0, "v1": 10_000}


@pytest.mark.proves("fault 20")
async def test_a_canary_that_is_as_bad_as_its_stable_goes_nowhere() -> None:
    """Both fail half of the requests: no worse than stable is not good enough, and it is not the canary's doing."""
    async with running_rollout() as harness:
        await harness.ticks(100, canary_errors=0.5, stable_errors=0.5)
        assert (await harness.state()).weights == {"v2": 2000, "v1": 8000}
        assert any("stable itself" in text for text in harness.replica.live("scorer").reasons)


@pytest.mark.proves("fault 21")
async def test_a_flapping_canary_is_taken_back_once_and_stays_away() -> None:
    """Bad for a second, good for five, and so on: a rollback is final until a person starts it again."""
    async with running_rollout() as harness:
        for _ in range(20):
            await harness.ticks(2, canary_errors=0.5)
            await harness.ticks(10)
        kinds = await harness.kinds()
        assert (kinds.count("rollback"), kinds.count("rolled_back")) == (1, 1)
        assert (await harness.state()).weights == BACK
        await harness.act(Verb.START, canary="v2")
        assert (await harness.rollout()).phase is Phase.WARMING


@pytest.mark.proves("fault 28")
@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.BAKING, Phase.PROMOTED])
async def test_the_bakes_weight_on_the_canary_still_comes_back_at_an_operators_word(phase: Phase) -> None:
    """While it is promoted, baked, and after: the old version is warm, and gets everything."""
    async with running_rollout() as harness:
        await harness.ticks(4)
        await harness.act(Verb.PROMOTE)
        assert (await harness.state()).weights == {"v2": 9500, "v1": 500}
        await tick_until(harness, phase)
        await harness.act(Verb.ROLLBACK)
        assert (await harness.state()).weights == BACK
        await tick_until(harness, Phase.ROLLED_BACK)
        assert (await harness.state()).stable == "v1"


@pytest.mark.proves("fault 28")
async def test_a_rollback_to_a_version_whose_servers_are_gone_is_refused_loudly() -> None:
    """The old version's endpoints were taken away after the promotion: all traffic would go into a void."""
    async with running_rollout() as harness:
        await harness.ticks(4)
        await harness.act(Verb.PROMOTE)
        await tick_until(harness, Phase.PROMOTED)
        gone = rollout_file().replace('["127.0.0.1:9001"]', "[]")
        await harness.operations.apply(gone.replace("stable: v1", "stable: v2"), who=Actor("alice"))
        with pytest.raises(Refusal, match="would get no response") as refused:
            await harness.act(Verb.ROLLBACK, force=True)
        assert refused.value.code is Code.NO_ENDPOINTS
        assert (await harness.state()).weights == {"v2": 10_000, "v1": 0}


@pytest.mark.proves("fault 32")
async def test_another_canary_in_the_middle_of_a_rollout_begins_at_the_first_step() -> None:
    """It never carries the old one's step or evidence, and the old one gets nothing more."""
    async with running_loop() as harness:
        await harness.operations.apply(three_versions(), who=Actor("alice"))
        await harness.act(Verb.START, canary="v2")
        for _ in range(200):
            if (await harness.rollout()).step == 1:
                break
            await harness.tick()
        old = await harness.rollout()
        assert (old.step, old.weight) == (1, 5000)
        await harness.act(Verb.START, canary="v3")
        new = await harness.rollout()
        assert (new.canary, new.step, new.weight, new.phase) == ("v3", 0, 2000, Phase.WARMING)
        assert new.id != old.id
        assert (await harness.state()).weights == {"v3": 2000, "v1": 8000}
        await harness.ticks(4)
        assert (await harness.rollout()).step == 0


class Crowded(MemoryStore):
    """A store in which someone else is faster, once: between the reading and the writing of the next command."""

    first: Callable[[], Awaitable[object]] | None = None

    async def load(self) -> View:
        view = await super().load()
        if self.first:
            first, self.first = self.first, None
            await first()
        return view

    async def command(self, change: Change) -> int:
        await asyncio.sleep(0)
        return await super().command(change)


@pytest.mark.proves("fault 31")
@pytest.mark.parametrize("faster", [Verb.PAUSE, Verb.PROMOTE])
async def test_a_rollback_that_loses_a_race_is_tried_again_and_wins(faster: Verb) -> None:
    """Two operators at once: whatever the other one did, a rollback is safe after it."""
    clock = FakeClock()
    store = Crowded(clock=clock)
    async with running_rollout(store, clock) as harness:
        bob = Operations(store, clock)
        store.first = lambda: bob.act("scorer", Command(faster, "bob is faster"), who=Actor("bob"))
        await harness.act(Verb.ROLLBACK)
        assert (await harness.state()).weights == BACK
        people = [line.entry.who for line in await store.events() if line.entry.who in ("alice", "bob")]
        assert people[-2:] == ["bob", "alice"]


@pytest.mark.proves("fault 31")
async def test_any_other_command_that_loses_a_race_is_aborted() -> None:
    """An advance decided on what is no longer so is not done; the answer says that someone was faster."""
    clock = FakeClock()
    store = Crowded(clock=clock)
    async with running_rollout(store, clock) as harness:
        bob = Operations(store, clock)
        store.first = lambda: bob.act("scorer", Command(Verb.ROLLBACK, "bob is faster"), who=Actor("bob"))
        with pytest.raises(Refusal, match="faster") as refused:
            await harness.act(Verb.PROMOTE)
        assert refused.value.code is Code.CONFLICT
        assert (await harness.state()).weights == BACK


def three_versions() -> str:
    """The service with a third version."""
    text = rollout_file()
    return text.replace("stable: v1", '  v3: {endpoints: ["127.0.0.1:9003"]}\nstable: v1')
