"""Patience: a canary that is cold is waited for, one that turns bad is not, and one that stays bad is rolled back."""

import pytest

from controller.core.judge.channels import SLOW_CHANNELS
from controller.core.judge.settling import SETTLED, WORST
from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import Policy
from controller.simulation.play import Setting, play_often
from controller.simulation.scenario import Scenario
from controller.simulation.scenarios import SCENARIOS, changed, slower
from controller.simulation.simulated_version import Server
from tests.judge.driving import STEADY, USUAL, JudgeRun, codes, service_for

PATIENT = STEADY.model_copy(update={"warmup": 60.0, "patience": 90.0})
HELD = service_for(Policy(steps=(500,), dwell=1e4))
SLOW = Scenario("slow", "twice as slow from its first request on", False, canary=slower(2))
FAILING = Scenario("failing", "3 percentage points more errors from its first request on", False, changed(errors=0.03))


def harmful(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.HARM


@pytest.mark.parametrize(
    ("name", "patience"),
    [("autoscaler-lag", 90.0), ("early-failures", 90.0), ("cold-start", 90.0), ("cold-cache", 600.0)],
)
def test_a_cold_canary_is_waited_for_and_promoted(name: str, patience: float) -> None:
    """Slow after each rise of its share, or failing at first: nobody is rolled back, all are promoted."""
    service = service_for(Policy(patience=patience))
    played = list(play_often(service, SCENARIOS[name], Setting(duration=3600), 4, seed=2))
    assert [(one.rolled_back, one.promoted) for one in played] == [(False, True)] * 4


@pytest.mark.parametrize("scenario", [SLOW, FAILING], ids=["slow", "failing"])
def test_one_that_stays_bad_is_rolled_back_when_the_patience_ends(scenario: Scenario) -> None:
    """Not before a warm-up of 60 s and a patience of 90 s, and within a minute or so after. Without patience the
    warm-up alone is waited for."""
    for one in play_often(HELD, scenario, Setting(duration=400), 4, seed=1):
        assert one.rolled_back
        assert 150 <= one.seconds <= 300
    hasty = service_for(HELD.policy.model_copy(update={"patience": 0.0}))
    assert all(60 <= one.seconds < 150 for one in play_often(hasty, scenario, Setting(duration=400), 4, seed=1))


@pytest.mark.parametrize("canary", [Server(errors=1.0), Server(errors=0.25, median=60.0)], ids=["outage", "a quarter"])
def test_grave_errors_are_not_waited_for(canary: Server) -> None:
    """Of a canary that is bad from its first request on: found in the warm-up already, patience or not."""
    judged = JudgeRun(PATIENT)
    assert harmful(judged.load(40, canary=canary, until=harmful))
    assert judged.now <= (5 if canary.errors == 1 else 40)


def test_what_begins_later_is_judged_at_once() -> None:
    """The canary has settled in its warm-up: what makes it slow a second later is no cold cache."""
    for seed in range(5):
        judged = JudgeRun(PATIENT)
        judged.load(60, seed=seed)
        assert min(judged.state.settling.values()) >= SETTLED
        assert harmful(judged.load(60, seed=seed + 10, canary=Server(median=60.0), until=harmful))
        assert judged.now < 85


def test_the_wait_is_said_and_keeps_the_rollout_where_it_is() -> None:
    """With what is slow, and how long it is waited for. A canary that is as fast again is shown to be."""
    judged = JudgeRun(PATIENT)
    verdict = judged.load(100, canary=Server(median=40.0))
    assert verdict.outcome is Outcome.UNKNOWN
    assert codes(verdict)[0] == "settling"
    assert "judged in 51 s (patience 90s)" in verdict.reasons[0].text
    verdict = judged.load(60, canary=USUAL, seed=2)
    assert "settling" not in codes(verdict)
    assert not harmful(judged.load(300, canary=USUAL, seed=3, until=harmful))


def test_one_that_recovers_as_the_patience_ends_is_not_rolled_back_by_its_past() -> None:
    """In the bake, beside 5 % of stable, what bets on rare slow responses have won is lost slowly. Meanwhile at most
    half of what decides is gathered, so one that stays slow is found a few seconds after the patience."""
    for seed in range(12):
        judged = JudgeRun(PATIENT, weight=5000)
        judged.load(100, seed=seed)
        judged.weight = 9500
        judged.load(85, canary=Server(median=100.0), seed=seed + 100)
        gathered = sum(judged.state.harm[name].total for name in SLOW_CHANNELS & judged.state.harm.keys())
        assert 10 <= gathered <= 50.1
        if seed < 2:
            assert harmful(judged.load(13, canary=Server(median=100.0), seed=seed, until=harmful))
        else:
            assert not harmful(judged.load(100, seed=seed, until=harmful))


def test_a_rise_of_the_weight_asks_again_for_latency_alone() -> None:
    """More load may make a canary slow for a while; errors have settled."""
    judged = JudgeRun(PATIENT)
    judged.load(100)
    judged.weight = 1000
    judged.load(1, seed=2)
    assert judged.state.settling["latency_p50"] == judged.state.settling["latency_p99"] == 1.0
    assert judged.state.settling["5xx"] >= SETTLED
    judged.load(20, canary=Server(median=60.0), seed=3)
    assert judged.state.settling["latency_p50"] == WORST
    assert "settling" in codes(judged.verdicts[-1])


def test_the_wait_survives_a_restart_and_an_older_state_is_read() -> None:
    """Stored state of before, which knows of no settling, is one of a canary that has not been seen."""
    judged = JudgeRun(PATIENT)
    judged.load(80, canary=Server(median=40.0))
    stored = dump_state(judged.state)
    assert load_state(stored).settling == judged.state.settling
    del stored["settling"]
    assert load_state(stored).settling == {}


def test_a_state_with_fewer_quantiles_is_read() -> None:
    """The judge of before had no p99.5 and no p99.9. The rollout goes on: thresholds are worked out again, and nothing
    is staked on what the error budget was shared out without."""
    judged = JudgeRun(PATIENT)
    judged.load(100)
    stored, before = dump_state(judged.state), judged.state.total
    far = {"latency_p995", "latency_p999"}
    stored["harm"] = [[name, wealth] for name, wealth in stored["harm"] if name not in far]
    for name in ("thresholds", "initial_thresholds"):
        stored[name] = [value[:7] if isinstance(value, list) and len(value) == 9 else value for value in stored[name]]
    stored["recent"] = [[n, [*r[:2], r[2][:16], r[3][:16]] if n == "latency" else r] for n, r in stored["recent"]]
    judged.state = load_state(stored)
    assert judged.state.times["latency"].thresholds is None
    assert "latency" not in judged.state.recent
    assert [judged.state.harm[name].total for name in sorted(far)] == [0.0, 0.0]
    assert judged.state.total < before
    assert harmful(judged.load(90, canary=Server(median=40.0), seed=2, until=harmful))
