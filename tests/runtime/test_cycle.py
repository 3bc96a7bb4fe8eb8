"""The loop: what is observed is judged, what is decided becomes true in the store, and nothing else moves."""

import pytest

from controller.core.base.errors import Code, Refusal
from controller.core.control.commands import Verb
from controller.core.control.sync import Sync
from controller.core.model.actor import Actor
from controller.core.model.cluster_names import cluster_name
from controller.core.model.freeze import ALL
from controller.core.model.rollout import Phase
from controller.core.traffic.reports import ProxyMetrics
from controller.store.memory import MemoryStore
from tests.fakes.clock import FakeClock
from tests.support.loop_harness import running_loop, running_rollout, tick_until

pytestmark = pytest.mark.looptime


async def test_a_good_canary_climbs_its_steps_and_is_promoted() -> None:
    """Without a person's act the weight goes 20 %, 50 %, 95 % for the bake, 100 %; then the canary is the stable."""
    async with running_rollout() as harness:
        await tick_until(harness, Phase.PROMOTED)
        assert (await harness.state()).stable == "v2"
        while harness.published[-1].services["scorer"].weights["v2"] < 10_000:
            await harness.look()
        weights = [view.services["scorer"].weights.get("v2", 0) for view in harness.published if view.services]
        assert list(dict.fromkeys(weights)) == [2000, 5000, 9500, 10_000]


async def test_harm_takes_all_weight_back_and_the_ledger_says_why() -> None:
    """Half of the canary's answers are errors: rolled back within four seconds, with the evidence written down."""
    async with running_rollout() as harness:
        took = await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.5)
        assert took <= 9, "ticks of half a second; the last one or two confirm"
        assert (await harness.state()).weights == {"v2": 0, "v1": 10_000}
        line = next(line for line in await harness.store.events() if line.entry.kind == "rollback")
        reasons = line.entry.details["reasons"]
        assert isinstance(reasons, list)
        assert isinstance(reasons[0], dict)
        assert float(str(reasons[0]["evidence"])) >= float(str(reasons[0]["limit"]))
        assert "rollback" in harness.figures.decisions


async def test_a_freeze_suppresses_a_rollback_and_says_so_once_and_its_end_lets_it_happen() -> None:
    """Nothing moves while frozen, whatever is seen; one line tells what would have been done; unfrozen, it is done."""
    async with running_rollout() as harness:
        await harness.ticks(2)
        await harness.operations.freeze([ALL], who=Actor("alice"), reason="incident 42")
        await harness.ticks(20, canary_errors=0.5)
        assert (await harness.state()).weights == {"v2": 2000, "v1": 8000}
        assert (await harness.kinds()).count("rollback_suppressed") == 1
        await harness.operations.unfreeze([ALL], who=Actor("alice"), reason="over")
        await tick_until(harness, Phase.ROLLED_BACK, within=4, canary_errors=0.5)


@pytest.mark.proves("fault 23")
async def test_a_proxy_that_is_not_in_sync_holds_the_advance_but_no_rollback() -> None:
    """Advancing needs the proxies; a rollback needs no one."""
    async with running_rollout() as harness:
        harness.fleet.synced = Sync(1, 2)
        await harness.ticks(60)
        assert (await harness.rollout()).weight == 2000
        await harness.ticks(8, canary_errors=0.5)
        assert (await harness.state()).weights == {"v2": 0, "v1": 10_000}
        assert (await harness.rollout()).phase is Phase.ROLLING_BACK
        harness.clock.advance(10)
        await harness.look()
        await harness.look()
        assert (await harness.rollout()).phase is Phase.ROLLED_BACK


async def test_reports_that_stop_hold_the_rollout_and_are_told_once() -> None:
    """Blind is not good and not bad: nothing moves, the ledger says so at its beginning and at its end."""
    async with running_rollout() as harness:
        await harness.ticks(4)
        for _ in range(60):
            harness.clock.advance(1)
            await harness.look()
        assert (await harness.rollout()).weight == 2000
        assert (await harness.kinds()).count("blind") == 1
        await harness.ticks(4)
        assert (await harness.kinds()).count("sight_back") == 1


async def test_a_restart_moves_nothing_and_takes_no_extra_step() -> None:
    """Killed in the middle of a dwell, the next controller serves the same and goes on from what was saved."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    async with running_rollout(store, clock) as harness:
        await harness.ticks(6)
        before = await harness.state()
    async with running_loop(store, clock) as harness:
        assert harness.published[0].services["scorer"].weights == before.weights
        await harness.tick()
        assert (await harness.rollout()).weight == 2000
        await tick_until(harness, Phase.PROMOTED)
    assert [line.entry.kind for line in await store.events()].count("rollout_started") == 1


@pytest.mark.proves("fault 6")
async def test_a_wall_clock_that_jumps_ends_no_freeze_early() -> None:
    """A ttl is measured on the monotonic clock: an hour's jump forward changes nothing, the time itself does."""
    async with running_loop() as harness:
        await harness.apply()
        await harness.operations.freeze(["scorer"], who=Actor("alice"), reason="quiet, please", ttl=60)
        await harness.look()
        harness.clock.jump(3600)
        await harness.look()
        assert (await harness.store.load()).freezes
        harness.clock.advance(61)
        await harness.look()
        await harness.look()
        assert not (await harness.store.load()).freezes
        assert (await harness.kinds())[-1] == "freeze_expired"


@pytest.mark.proves("track-record 72")
async def test_a_freeze_that_ends_tells_of_the_one_that_still_stands() -> None:
    """Who reads that a freeze is over must not believe that the service is free."""
    clock = FakeClock()
    async with running_loop(MemoryStore(clock=clock), clock) as harness:
        await harness.apply()
        await harness.operations.freeze(["scorer"], who=Actor("alice"), reason="quiet, please", ttl=60)
        await harness.operations.freeze([ALL], who=Actor("grace"), reason="incident 42")
        await harness.look()
        clock.advance(61)
        await harness.look()
        await harness.look()
        last = (await harness.store.events())[-1].entry
        why = (
            "its ttl is over: quiet, please; still in force: all services are frozen by grace (unverified): incident 42"
        )
        assert (last.kind, last.why) == ("freeze_expired", why)


@pytest.mark.proves("fault 36")
async def test_a_fault_in_one_rollout_does_not_end_the_watch_over_the_others() -> None:
    """One service's look raises at every tick; the other one is still rolled back."""
    async with running_loop() as harness:
        await harness.apply()
        await harness.apply("broken", port=10001)
        await harness.act(Verb.START, canary="v2")
        await harness.act(Verb.START, "broken", canary="v2")
        harness.fleet.broken = "broken"
        await tick_until(harness, Phase.ROLLED_BACK, canary_errors=0.5)
        assert (await harness.rollout("broken")).weight == 2000
        assert harness.figures.tick_errors
        assert harness.figures.cycles >= harness.figures.tick_errors


async def test_an_operators_word_on_a_rollout_is_written_down_with_the_evidence_so_far() -> None:
    """Who promotes before the proof is there did so on this evidence. What is said of a phase ends with it."""
    async with running_rollout() as harness:
        await harness.ticks(6)
        await harness.act(Verb.PROMOTE)
        lines = {line.entry.kind: line.entry.details for line in await harness.store.events()}
        assert lines["promotion_started"]["verdict"] == "unknown"
        assert "server errors" in str(lines["promotion_started"]["reasons"])
        assert "verdict" not in lines["rollout_started"]
        await tick_until(harness, Phase.BAKING)
        await harness.tick()
        await harness.act(Verb.PROMOTE)
        await harness.look()
        assert harness.replica.live("scorer").remark == "because", "what was made of the bake is no news after it"


@pytest.mark.proves("fault 29", "track-record 38")
async def test_an_operators_rollback_does_not_go_into_a_void_unless_by_force() -> None:
    """The proxies say that stable has no healthy server: the traffic stays, and the operator is told what overrides."""
    async with running_rollout() as harness:
        harness.book.on_metrics(
            "envoy-1", ProxyMetrics(1.0, healthy={cluster_name("scorer", "v1"): 0}), harness.clock.now
        )
        with pytest.raises(Refusal, match="no healthy endpoint") as refused:
            await harness.act(Verb.ROLLBACK)
        assert refused.value.code is Code.NO_ENDPOINTS
        assert (await harness.state()).weights == {"v2": 2000, "v1": 8000}
        await harness.act(Verb.ROLLBACK, force=True)
        assert (await harness.state()).weights == {"v2": 0, "v1": 10_000}


@pytest.mark.proves("track-record 5")
async def test_time_without_traffic_serves_no_dwell() -> None:
    """Requests stop in the middle of a step: however long that lasts, the next share needs the rest of the dwell."""
    async with running_rollout() as harness:
        while (await harness.rollout()).weight < 5000:
            await harness.tick()
        await harness.ticks(2)
        await harness.ticks(120, rps=0)
        assert (await harness.rollout()).weight == 5000
        await harness.ticks(2)
        assert (await harness.rollout()).weight == 5000
        await tick_until(harness, Phase.PROMOTED)


async def test_a_deadline_comes_also_where_nobody_asks_for_anything() -> None:
    """No requests for longer than the deadline: what the policy says for that case happens, and no step is taken."""
    async with running_rollout(extra="  deadline: 30s\n  on_insufficient: rollback\n") as harness:
        await harness.ticks(8)
        await harness.ticks(60, rps=0)
        assert (await harness.rollout()).phase is Phase.ROLLED_BACK


@pytest.mark.proves("track-record 12")
async def test_a_restart_watches_nothing_before_the_first_report() -> None:
    """The deadline has passed and the policy would go on: but a new life has seen nothing yet, and takes no step."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    async with running_rollout(store, clock, extra="  deadline: 15s\n  on_insufficient: advance\n") as harness:
        harness.fleet.synced = Sync(0, 1)
        await harness.ticks(40)
        assert (await harness.rollout()).weight == 2000
    async with running_loop(store, clock) as harness:
        for _ in range(40):
            clock.advance(0.1)
            await harness.look()
        assert (await harness.rollout()).weight == 2000
        assert (await harness.rollout()).phase is Phase.PROGRESSING
