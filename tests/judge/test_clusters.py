"""Traffic as it is: failures in clusters, late reports, clients that give up. Both versions alike is no harm."""

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.judge.betting import Null, e_values
from controller.core.judge.design_effect import DesignEffect
from controller.core.judge.overdue_counter import OverdueCounter
from controller.core.judge.paired_counts import PairedCounts
from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.judge.wealth import MOST_OF_BLOCK
from controller.core.model.service import ErrorPolicy, Policy, Service
from controller.core.traffic.window import Sample
from controller.simulation.play import Setting, play_often
from controller.simulation.scenarios import SCENARIOS
from controller.simulation.simulated_version import Server, SimulatedVersion, binomial, poisson
from tests.judge.driving import USUAL, Behaviour, JudgeRun, codes, sample, service_for

HELD = service_for(Policy(steps=(500,), dwell=1e9, deadline=1e9))
SERVICE = service_for(Policy())


def harmful(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.HARM


def with_poison(judged: JudgeRun, seed: int, at: int, burst: int) -> Verdict:
    """Up to a minute after one client has sent `burst` failing requests to the canary in each of two seconds."""
    rng = random.Random(seed)
    sides = SimulatedVersion(rng), SimulatedVersion(rng)
    for second in range(at + 60):
        n = poisson(rng, 100.0)
        n_c = binomial(rng, n, 0.05)
        canary = Server(poison=burst) if second in (at, at + 1) else USUAL
        verdict = judged.tick(
            sides[0].serve(USUAL, n - n_c, judged.now), sides[1].serve(canary, n_c, judged.now), seconds=1.0
        )
        if harmful(verdict):
            break
    return verdict


def test_one_client_that_fails_fifty_times_in_two_seconds_is_one_event() -> None:
    """None of 20 canaries is rolled back for it, whenever it comes."""
    assert sum(harmful(with_poison(JudgeRun(), seed, 30 + 24 * seed, 25)) for seed in range(20)) == 0


def out_at(at: int) -> Behaviour:
    """Out for two seconds."""
    return lambda t: Server(errors=1.0) if at <= t < at + 2 else USUAL


def test_a_pod_that_is_out_for_two_seconds_is_one_event() -> None:
    """The canary's only pod: everything it gets fails. None of 20 canaries is rolled back for it."""
    begins = [30 + 24 * seed for seed in range(20)]
    runs = [JudgeRun().load(at + 60, seed=at, until=harmful, canary=out_at(at)) for at in begins]
    assert not any(map(harmful, runs))


@pytest.mark.parametrize("rps", [100.0, 20.0, 1000.0])
def test_an_outage_is_no_cluster(rps: float) -> None:
    """It goes on: found within about four seconds or twenty requests of the canary, ten minutes after the start too:
    the bet on an outage risks little of its stake while there is none."""
    for seed in range(3):
        judged = JudgeRun()
        judged.load(600, rps=rps, seed=seed)
        begun, before = judged.now, judged.state.recent["5xx"].counts[1]
        assert harmful(judged.load(60, rps=rps, seed=seed + 100, canary=Server(errors=1.0), until=harmful))
        failed = judged.state.recent["5xx"].counts[1] - before
        assert judged.now - begun <= 5 or failed <= 20, (seed, judged.now - begun, failed)


KINDS = (
    "pods-out",
    "poison-client",
    "overdispersed",
    "cancels",
    "streams",
    "fast-failures",
    "late-report",
    "incident",
    "shared-incident",
    "faster-stable",
)
"""Healthy canaries."""


def rolled_back(service: Service, name: str, seconds: float, runs: int) -> int:
    """How many of so many rollouts of a scenario are rolled back."""
    return sum(one.rolled_back for one in play_often(service, SCENARIOS[name], Setting(duration=seconds), runs, seed=1))


@pytest.mark.parametrize("name", KINDS)
def test_traffic_as_it_is_accuses_no_healthy_canary(name: str) -> None:
    """Through the whole policy, the bake too."""
    assert rolled_back(SERVICE, name, 1500, 3) == 0


@pytest.mark.soak
@pytest.mark.parametrize("name", KINDS)
def test_traffic_as_it_is_accuses_few_of_many_healthy_canaries(name: str) -> None:
    """Of many at most one in fifty."""
    assert rolled_back(SERVICE, name, 1500, 50) <= 1


WIDE = service_for(Policy(steps=(500,), dwell=1e9, deadline=1e9, errors=ErrorPolicy(margin=0.03)))


def test_errors_that_drift_by_the_minute_need_a_wider_margin() -> None:
    """No sequence of rates is judged by its name: what the policy allows above stable is what it says."""
    assert rolled_back(WIDE, "drift", 1800, 3) == 0


@pytest.mark.soak
def test_errors_that_drift_for_an_hour_need_a_wider_margin() -> None:
    """Likewise of many, for longer."""
    assert rolled_back(WIDE, "drift", 3600, 20) <= 1


def test_a_creeping_latency_is_found_in_a_long_bake() -> None:
    """1 % a minute over an hour."""
    long = service_for(Policy(bake=3600))
    played = list(play_often(long, SCENARIOS["creep"], Setting(duration=4000), 2, seed=1))
    assert all(one.rolled_back for one in played)


def counted(rho: float, blocks: int, seed: int, rate: float = 0.02, n: int = 100) -> DesignEffect:
    """The design effect after so many blocks of beta-binomial counts."""
    rng, effect = random.Random(seed), DesignEffect()
    for _ in range(blocks):
        p = rng.betavariate(rate * (1 / rho - 1), (1 - rate) * (1 / rho - 1)) if rho else rate
        effect = effect.after(n, binomial(rng, n, p), 1.0, rate)
    return effect


def test_the_design_effect_of_independent_failures_is_one() -> None:
    """Nearly: an estimate is never quite right. What it costs is a few percent of the evidence."""
    effects = [counted(0.0, 1200, seed).of(5, 95) for seed in range(20)]
    assert min(effects) >= 1.0
    assert sum(effects) / len(effects) < 1.1


def test_the_design_effect_grows_with_the_correlation() -> None:
    """By 1 + rho (m - 1), where m is the size of the comparison."""
    means = []
    for rho in (0.0, 0.01, 0.05, 0.2):
        effects = [counted(rho, 1200, seed).of(95, 95) for seed in range(10)]
        means.append(sum(effects) / len(effects))
    assert means == sorted(means)
    assert means[2] > 1 + 0.3 * 0.05 * 94
    assert counted(0.05, 1200, 1).of(5, 95) < counted(0.05, 1200, 1).of(95, 95)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40), st.floats(0, 1))
def test_the_design_effect_is_at_least_one_and_finite(blocks: list[tuple[int, int]], rate: float) -> None:
    """Whatever was counted."""
    effect = DesignEffect()
    for n, events in blocks:
        effect = effect.after(n, min(n, events), 1.0, rate)
    for each in (effect, effect.interrupted()):
        assert 1.0 <= each.of(5, 95) < math.inf


@pytest.mark.parametrize("phi", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("rate", [0.01, 0.3, 0.7])
def test_a_tempered_and_capped_e_value_is_an_e_value(phi: float, rate: float) -> None:
    """By enumeration of every outcome of a block, at the edge of the null: its expected value is at most 1."""
    null, n_c, n_s = Null(1.1, 0.001), 4, 6
    allowed = min(1.0, null.ratio * rate + null.margin)
    expected = [0.0, 0.0]
    for x_c, x_s in product(range(n_c + 1), range(n_s + 1)):
        chance = math.comb(n_c, x_c) * allowed**x_c * (1 - allowed) ** (n_c - x_c)
        chance *= math.comb(n_s, x_s) * rate**x_s * (1 - rate) ** (n_s - x_s)
        gains = e_values(null, rate, [allowed + 0.02, allowed + 0.1], n_c / n_s, PairedCounts(n_c, x_c, n_s, x_s))
        for i, gain in enumerate(gains):
            expected[i] += chance * min(gain ** (1 / phi), MOST_OF_BLOCK)
    assert max(expected) <= 1 + 1e-9


def test_a_late_report_in_an_incident_of_both_is_waited_for() -> None:
    """Stable is reported, the canary is not, both fail: the block waits, and compares the two over the same time."""
    judged = JudgeRun()
    judged.load(60)
    for _ in range(15):
        assert not harmful(judged.tick(sample(95, failed=38), None))
    verdict = judged.tick(sample(95, failed=38), sample(80, failed=32))
    assert "late_report" in codes(verdict)
    assert not harmful(verdict)
    for _ in range(30):
        assert not harmful(judged.tick(sample(95), sample(5)))


def test_an_outage_that_is_reported_late_is_harm() -> None:
    """65 s of silence, then 650 failures of 650: more than one event, though it is one report."""
    judged = JudgeRun(weight=5000)
    judged.load(60)
    for _ in range(65):
        assert not harmful(judged.tick(None, None))
    verdict = judged.tick(sample(650), sample(650, failed=650))
    assert (verdict.outcome, codes(verdict)) == (Outcome.HARM, ["late_outage"])
    assert "650 of 650" in verdict.reasons[0].text
    assert load_state(dump_state(judged.state)).late_outage == judged.state.late_outage


def test_an_outage_of_both_that_is_reported_late_is_no_harm() -> None:
    """Nor is any other late report, but nothing is proved by it."""
    for failed in (650, 0):
        judged = JudgeRun(weight=5000)
        judged.load(60)
        for _ in range(65):
            judged.tick(None, None)
        verdict = judged.tick(sample(650, failed=failed), sample(650, failed=failed))
        assert verdict.outcome is Outcome.UNKNOWN
        assert "late_report" in codes(verdict)
        assert verdict.suspicious


def test_overdue_requests_are_those_in_progress_that_cannot_be_young() -> None:
    """Of 10 in progress 4 were started within the patience: 6 are overdue, each counted once."""
    counter = OverdueCounter()
    counter, _ = counter.after(0.0, Sample(6, 0, in_progress=6), 2.0)
    counter, counts = counter.after(3.0, Sample(4, 0, in_progress=10), 2.0)
    assert counts == (6, 6, True)
    counter, counts = counter.after(4.0, Sample(0, 0, in_progress=10), 2.0)
    assert counts == (0, 0, True)


def test_cancelled_requests_are_never_overdue() -> None:
    """By Envoy's own number, and by counts where it is not reported."""
    for in_progress in (0, None):
        counter = OverdueCounter()
        for second in range(20):
            sampled = Sample(10, 6, in_progress=in_progress, cancelled=4)
            counter, (_, overdue, _) = counter.after(float(second), sampled, 2.0)
            assert overdue == 0


def test_without_a_patience_nothing_is_overdue() -> None:
    """In the warm-up, and where stable's own answers do not say how long one takes."""
    counter = OverdueCounter()
    for second in range(20):
        counter, counts = counter.after(float(second), Sample(10, 0), math.inf)
        assert counts == (0, 0, True)


def test_a_canary_that_hangs_is_found_though_clients_give_up() -> None:
    """None of its requests is answered, and nobody cancels."""
    judged = JudgeRun()
    judged.load(60)
    assert harmful(judged.load(20, canary=Server(hang=1.0), until=harmful, seed=2))
    assert codes(judged.verdicts[-1])[0] == "overdue"


def test_a_stable_that_gets_faster_is_no_harm_and_a_slower_canary_is() -> None:
    """Slow is what is slower than stable is now, and than stable was."""
    judged = JudgeRun()
    judged.load(60)
    assert not harmful(judged.load(300, stable=Server(median=14.0), until=harmful, seed=2))
    found = JudgeRun()
    found.load(60)
    slower = found.load(300, stable=Server(median=14.0), canary=Server(median=30.0), until=harmful, seed=2)
    assert slower.reasons[0].code.startswith("latency")


def test_a_gate_asks_for_no_slower_than_stable_was_where_it_has_become_faster() -> None:
    """So the canary that takes stable's load is promoted, and one that is slower than stable was is not."""
    played = list(play_often(SERVICE, SCENARIOS["faster-stable"], Setting(duration=400), 3, seed=1))
    assert all(one.promoted for one in played)
    for median, shown in ((20.0, True), (25.0, False)):
        judged = JudgeRun()
        judged.load(60)
        judged.load(120, stable=Server(median=14.0), canary=Server(median=median), until=harmful, seed=2)
        assert (judged.state.non_inferiority["latency_p50"].evidence[-1] >= 20) is shown
