"""The bake: stable keeps a holdback, and the same two-sample judge goes on; without one there is less to know."""

from statistics import median

import pytest

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import ErrorPolicy, LatencyPolicy, Policy
from controller.core.traffic.window import Sample
from controller.simulation.simulated_version import Server
from tests.judge.driving import USUAL, Behaviour, JudgeRun, sample

POLICY = Policy(warmup=0)
WITHOUT = Policy(warmup=0, holdback=0)
SEEDS = range(10)


def harmful(verdict: Verdict) -> bool:
    """Whether it calls for a rollback."""
    return verdict.outcome is Outcome.HARM


def baking(policy: Policy = POLICY, *, settled: int = 120, seed: int = 1) -> JudgeRun:
    """Two minutes at 50 %, then so many seconds of the bake."""
    judged = JudgeRun(policy, weight=5000)
    judged.load(120, seed=seed)
    judged.weight = policy.bake_weight
    if settled:
        judged.load(settled, seed=seed + 1000)
    return judged


def for_a_while(fault: Server, begin: float, seconds: float) -> Behaviour:
    """That fault for so many seconds."""
    return lambda now: fault if begin <= now < begin + seconds else USUAL


def creeping(begin: float, per_minute: float) -> Behaviour:
    """A latency that grows from then on."""
    return lambda now: Server(median=20.0 * (1 + per_minute) ** max(0.0, (now - begin) / 60))


def test_the_bake_keeps_the_control() -> None:
    """95 % on the canary unless the policy says otherwise; all of it where nothing is held back."""
    assert (POLICY.bake_weight, WITHOUT.bake_weight) == (9500, TOTAL_WEIGHT)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Server(errors=0.4), 300),
        (Server(errors=1.0), 60),
        (Server(errors=0.03), 600),
        (Server(median=400.0), 5),
        (Server(median=40.0), 600),
        (Server(client_errors=0.3), 300),
    ],
    ids=["40 % for 5 min", "all for a minute", "3 % for long", "a standstill", "twice as slow", "client errors"],
)
def test_an_incident_of_both_in_the_bake_is_no_harm_of_the_canarys(fault: Server, seconds: int) -> None:
    """Of whatever length: stable's holdback has it too. Rolled back in no run of them."""
    for seed in SEEDS[:4]:
        judged = baking(seed=seed)
        shared = for_a_while(fault, judged.now + 5, seconds)
        verdict = judged.load(seconds + 60, stable=shared, canary=shared, until=harmful, seed=seed)
        assert not harmful(verdict), verdict


@pytest.mark.parametrize(
    ("fault", "code", "within"),
    [
        (Server(errors=1.0), "5xx", 4),
        (Server(errors=0.3), "5xx", 10),
        (Server(errors=0.05), "5xx", 75),
        (Server(hang=1.0), "overdue", 10),
        (Server(median=80.0), "latency", 21),
        (Server(client_errors=0.2), "4xx", 20),
    ],
    ids=["outage", "30 pp", "5 pp", "hang", "4 x as slow", "20 pp of client errors"],
)
def test_what_the_canary_alone_has_in_the_bake_is_found_soon(fault: Server, code: str, within: int) -> None:
    """Two minutes into the bake: within so many seconds in the middle of all runs, and in each within four times as
    many; by the channel that it belongs to."""
    took = []
    for seed in SEEDS:
        judged = baking(seed=seed)
        begun = judged.now
        verdict = judged.load(4 * within, canary=fault, until=harmful, seed=seed)
        assert harmful(verdict), verdict
        assert verdict.reasons[0].code.startswith(code)
        took.append(judged.now - begun)
    assert median(took) <= within


def test_a_creeping_latency_moves_no_baseline() -> None:
    """1 % a minute: a judge that compared with the canary's own past would go along with it."""
    judged = baking()
    verdict = judged.load(3600, canary=creeping(judged.now, 0.01), until=harmful, seed=3)
    assert harmful(verdict)
    assert verdict.reasons[0].code.startswith("latency")


def test_latency_that_creeps_on_both_is_no_harm() -> None:
    """A day that gets busier."""
    judged = baking()
    creep = creeping(judged.now, 0.01)
    assert not harmful(judged.load(1800, stable=creep, canary=creep, until=harmful, seed=3))


@pytest.mark.parametrize("holdback", [0, 500])
def test_a_quiet_bake_is_watched_and_accuses_nobody(holdback: int) -> None:
    """With stable beside the canary and without."""
    judged = baking(Policy(warmup=0, holdback=holdback))
    verdict = judged.load(300, until=harmful, seed=3)
    assert verdict.outcome is Outcome.PASS
    assert not verdict.suspicious


@pytest.mark.parametrize("absent", [None, Sample()], ids=["not reported", "silent"])
def test_without_a_holdback_a_stable_without_traffic_is_not_missed(absent: Sample | None) -> None:
    """No one asks it, and it may not be reported at all: the canary is watched all the same."""
    judged = baking(WITHOUT, settled=0)
    for _ in range(120):
        verdict = judged.tick(absent, sample(100))
        assert verdict.outcome is Outcome.PASS
        assert not verdict.blind


def alone(policy: Policy, canary: Behaviour, seconds: int) -> Verdict:
    """The bake of a canary that has everything."""
    judged = baking(policy)
    return judged.load(seconds, canary=canary, until=harmful, seed=3)


def test_without_a_holdback_errors_are_held_against_stables_past() -> None:
    """And five margins of errors more, for a past is no control: half a percentage point by default."""
    assert alone(WITHOUT, Server(errors=0.05), 60).reasons[0].code == "5xx"
    assert not harmful(alone(WITHOUT, Server(errors=0.005), 900))


def test_without_a_holdback_absolute_limits_are_kept() -> None:
    """Of errors and of latency: they need no comparison."""
    errors = WITHOUT.model_copy(update={"errors": ErrorPolicy(max=0.1)})
    assert harmful(alone(errors, Server(errors=0.3), 20))
    slow = WITHOUT.model_copy(update={"latency": LatencyPolicy(p99=0.2)})
    assert alone(slow, Server(median=200.0), 60).reasons[0].code == "latency_max"


@pytest.mark.parametrize(
    "fault",
    [Server(client_errors=0.3), Server(hang=0.3), Server(median=80.0)],
    ids=["client errors", "requests without a response", "slowness"],
)
def test_without_a_holdback_nothing_else_is_judged(fault: Server) -> None:
    """With nothing beside the canary it may as well be the clients, the network or the hour. What hangs becomes a
    server error when the proxy's timeout is over, and is found then."""
    assert not harmful(alone(WITHOUT, fault, 14))


def test_without_a_holdback_one_server_error_in_silence_is_not_enough() -> None:
    """At a request in ten seconds every error is a hundred percent of its block."""
    judged = baking(WITHOUT)
    for tick in range(600):
        assert not harmful(judged.tick(Sample(), sample(int(tick % 10 == 0), failed=int(tick % 300 == 0))))


def test_a_suspicion_in_the_bake_is_no_pass() -> None:
    """The bake does not end on it."""
    judged = baking()
    verdict = judged.load(400, canary=Server(errors=0.02), until=lambda v: v.suspicious, seed=3)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.reasons[0].code == "5xx"
