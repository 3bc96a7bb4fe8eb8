"""Terms: who is deposed moves nothing more, the next term starts from the store, and serving goes on all the while."""

import asyncio

import pytest

from controller.core.control.commands import Verb
from controller.core.model.actor import Actor
from controller.core.model.change import Change
from controller.core.model.freeze import Act
from controller.core.model.ledger_line import Entry
from controller.core.model.rollout import Phase
from controller.core.model.store_errors import Conflict, StoreLost
from controller.ports.store import Term
from controller.runtime.leadership import lead
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.fakes.store import ElectedStore
from tests.support.loop_harness import LoopHarness, running_loop, running_rollout, tick_until

pytestmark = pytest.mark.looptime


@pytest.fixture
def clock() -> FakeClock:
    """Time as the test has it."""
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> ElectedStore:
    """A store whose terms the test grants and ends."""
    return ElectedStore(clock=clock)


async def depose(store: ElectedStore, harness: LoopHarness) -> None:
    """End the term, and grant no other one: return when the replica no longer decides."""
    store.depose()
    await harness.deposed.wait()


async def grant(store: ElectedStore, harness: LoopHarness) -> None:
    """Grant the next term: return when the replica decides again."""
    store.terms.set()
    await harness.decides.wait()


async def report(harness: LoopHarness, **traffic: float) -> None:
    """Half a second of traffic that is reported while no one decides."""
    harness.book.on_load_report("envoy-1", harness.loads(await harness.state(), **traffic), 0.5, harness.clock.now)


def a_line(why: str) -> Change:
    """A change that writes one line."""
    return Change(why, "", Act.RECORD, Entry(kind="proxy_refused", who="haldane", why=why))


async def test_who_is_deposed_decides_nothing_and_the_next_term_does(store: ElectedStore, clock: FakeClock) -> None:
    """The canary fails while no one decides: no cycle runs and nothing moves. In the next term it is rolled back."""
    async with running_rollout(store, clock) as harness:
        await harness.ticks(2)
        await depose(store, harness)
        cycles, before = harness.cycles, await harness.kinds()
        for _ in range(20):
            clock.advance(0.5)
            await report(harness, canary_errors=0.5)
            harness.replica.wake(["scorer"])
            await asyncio.sleep(1)
        assert (harness.cycles, await harness.kinds()) == (cycles, before)
        assert (await harness.state()).weights == {"v2": 2000, "v1": 8000}
        await grant(store, harness)
        await tick_until(harness, Phase.ROLLED_BACK, within=10, canary_errors=0.5)


async def test_a_commit_that_arrives_after_the_term_is_refused(store: ElectedStore, clock: FakeClock) -> None:
    """A write that was on its way when its decider was deposed: its token is over, and nothing of it is applied."""
    async with running_rollout(store, clock) as harness:
        await harness.ticks(2)
        token = harness.tokens[-1]
        await store.commit(a_line("in time"), token)
        store.commits.clear()
        late = [asyncio.ensure_future(store.commit(a_line(f"late {n}"), token)) for n in range(3)]
        await asyncio.sleep(0)
        await depose(store, harness)
        store.commits.set()
        results = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(result, Conflict) for result in results)
        assert [line.entry.why for line in await store.events() if line.entry.kind == "proxy_refused"] == ["in time"]


async def test_what_waits_for_the_ledger_ends_with_the_term(store: ElectedStore, clock: FakeClock) -> None:
    """Lines that a deposed decider had yet to write are not written by it, and not by its next term."""
    async with running_rollout(store, clock) as harness:
        await harness.ticks(2)
        store.commits.clear()
        for n in range(50):
            harness.replica.write_line(Entry(kind="proxy_refused", who="haldane", why=f"number {n}"))
        await harness.look()
        await depose(store, harness)
        store.commits.set()
        await grant(store, harness)
        await harness.ticks(4)
        assert "proxy_refused" not in await harness.kinds()


async def test_the_next_term_starts_from_what_the_store_holds(store: ElectedStore, clock: FakeClock) -> None:
    """Harm that was reported between two terms is no evidence: at which weight it happened, the new decider cannot
    know. What an earlier term saved counts on."""
    async with running_rollout(store, clock) as harness:
        await harness.ticks(20)
        first = harness.decider
        await first.save()
        saved = await store.load_session("scorer", (await harness.rollout()).id)
        await depose(store, harness)
        for _ in range(20):
            clock.advance(0.5)
            await report(harness, canary_errors=0.5)
        await grant(store, harness)
        assert harness.decider is not first
        await harness.ticks(4)
        assert saved is not None
        assert (await harness.rollout()).phase is Phase.PROGRESSING
        assert harness.replica.live("scorer").evidence["5xx"] < 1
        await tick_until(harness, Phase.PROMOTED)
    assert (await harness.kinds()).count("rollout_started") == 1


async def test_a_replica_serves_while_nobody_decides(store: ElectedStore, clock: FakeClock) -> None:
    """Operators' commands are applied and published, traffic is shown, watchers are woken; verdicts there are none."""
    async with running_rollout(store, clock) as harness:
        await harness.ticks(2)
        assert harness.replica.live("scorer").verdict is not None
        await depose(store, harness)
        await report(harness)
        live = harness.replica.live("scorer")
        assert (live.verdict, live.remark, dict(live.evidence)) == (None, "", {})
        assert live.traffic["v1"].requests > 0
        seen = await harness.replica.next(0)
        await harness.act(Verb.ROLLBACK)
        assert await harness.replica.next(seen) > seen
        assert harness.published[-1].services["scorer"].weights == {"v2": 0, "v1": 10_000}
        await harness.operations.freeze(["scorer"], who=Actor("alice"), reason="quiet, please")
        await asyncio.sleep(0.1)
        assert harness.published[-1].freezes


async def test_the_store_is_asked_for_a_term_until_it_answers(clock: FakeClock) -> None:
    """The store is away at the start: the replica serves, and decides as soon as it is granted a term."""

    class Away(MemoryStore):
        tries = 0

        async def campaign(self, who: str) -> Term:
            self.tries += 1
            if self.tries < 4:
                raise StoreLost("the disk has not answered")
            return await super().campaign(who)

    store = Away(clock=clock)
    async with running_loop(store, clock) as harness:
        assert store.tries == 4
        await harness.apply()
        await harness.act(Verb.START, canary="v2")
        await tick_until(harness, Phase.PROMOTED)


async def test_a_term_is_given_up_at_the_end(clock: FakeClock) -> None:
    """Cancelled, the decider is ended first and its term then; an error in deciding is not swallowed."""
    store, order = MemoryStore(clock=clock), []
    terms: list[Term] = []

    async def decide(term: Term) -> None:
        terms.append(term)
        try:
            await asyncio.sleep(3600)
        finally:
            order.append(("decider", term.over))

    leading = asyncio.create_task(lead(store, "harness", decide))
    await asyncio.sleep(0.1)
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)
    assert (order, terms[0].over) == ([("decider", False)], True)

    async def fail(term: Term) -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        await lead(store, "harness", fail)
