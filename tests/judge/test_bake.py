"""The bake: nothing runs beside the canary, so what is short, or what stable had too, is not held against it."""

import math

import pytest
from controller.core.judge.grace_period import GRACE_LIMITS, GraceLimit, GracePeriod

from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import Policy
from controller.simulation.simulated_version import Server
from tests.judge.driving import USUAL, Behaviour, JudgeRun, codes, sample

POLICY = Policy(warmup=0)
LONG_IN_THE_BAKE = 120
SOME = GraceLimit(least=2.0, most=10.0, stable_factor=1.5, ramp=60.0)


def harmful(verdict: Verdict) -> bool:
    """Whether it calls for a rollback."""
    return verdict.outcome is Outcome.HARM


def baking(before: Behaviour = USUAL, *, rps: float = 100.0, settled: int = LONG_IN_THE_BAKE) -> JudgeRun:
    """Two minutes of that beside stable, then so many seconds of the bake."""
    judged = JudgeRun(POLICY, weight=5000)
    judged.load(120, rps=rps, stable=before, canary=before)
    judged.weight = 10_000
    if settled:
        judged.load(settled, rps=rps, seed=2)
    return judged


def for_a_while(fault: Server, begin: float, seconds: float) -> Behaviour:
    """That fault for so many seconds."""
    return lambda now: fault if begin <= now < begin + seconds else USUAL


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [(Server(errors=0.03), 40), (Server(errors=0.3), 5), (Server(median=400.0), 5), (Server(median=40.0), 20)],
    ids=["3 % errors for 40 s", "30 % errors for 5 s", "a standstill of 5 s", "twice as slow for 20 s"],
)
def test_a_short_trouble_in_the_bake_accuses_nobody(fault: Server, seconds: float) -> None:
    """It may as well be everybody's; afterwards all is well."""
    judged = baking()
    verdict = judged.load(300, canary=for_a_while(fault, judged.now + 5, seconds), until=harmful, seed=3)
    assert verdict.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("fault", "code", "within"),
    [
        (Server(errors=1.0), "5xx", 6),
        (Server(errors=0.3), "5xx", 12),
        (Server(errors=0.05), "5xx", 80),
        (Server(hang=1.0), "overdue", 12),
        (Server(median=80.0), "latency", 45),
        (Server(client_errors=0.2), "4xx", 60),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_lasts_is_harm(fault: Server, code: str, within: int) -> None:
    """The worse it is, the sooner; what it was is named."""
    judged = baking()
    verdict = judged.load(within, canary=fault, until=harmful, seed=3)
    assert harmful(verdict), verdict
    assert verdict.reasons[0].code.startswith(code)


def test_what_begins_with_the_full_load_is_hardly_chance() -> None:
    """Five points more errors at once after the weight has changed: found much sooner than later in the bake."""
    took = []
    for settled in (0, LONG_IN_THE_BAKE):
        judged = baking(settled=settled)
        begun = judged.now
        assert harmful(judged.load(100, canary=Server(errors=0.05), until=harmful, seed=3))
        took.append(judged.now - begun)
    assert took[0] < 20 < took[1]


def test_what_stable_had_in_this_rollout_the_canary_may_have_in_the_bake() -> None:
    """Errors that come and go in waves on both versions; a canary that has them all the time is found."""

    def waves(now: float) -> Server:
        return Server(errors=0.08 if now % 60 < 20 else 0.002)

    judged = baking(waves, settled=0)
    assert not harmful(judged.load(600, canary=waves, until=harmful, seed=3))
    assert harmful(judged.load(200, canary=Server(errors=0.3), until=harmful, seed=4))


def test_trouble_in_the_bake_is_told_while_it_is_forgiven() -> None:
    """A person reads what is seen, and what would be harm; the bake's verdict is no PASS meanwhile."""
    judged = baking()
    verdict = judged.load(40, canary=Server(errors=0.04), seed=3)
    assert verdict.outcome is Outcome.UNKNOWN
    assert (codes(verdict), verdict.in_grace) == (["spell"], True)
    assert verdict.reasons[0].channel == "5xx"
    assert "2.0 are forgiven" in verdict.reasons[0].text


def test_one_error_after_a_long_silence_is_no_spell() -> None:
    """At a request in ten seconds every error is a hundred percent of its block."""
    judged = baking(rps=2.0)
    for tick in range(600):
        verdict = judged.tick(None, sample(int(tick % 10 == 0), failed=int(tick % 300 == 0)))
        assert not harmful(verdict)


def test_whether_a_block_is_bet_on_is_known_before_it() -> None:
    """The first bad block of the bake is not bet on, however bad it is, and once a spell is beyond what is forgiven a
    good one is: a choice by the block's own outcome would break the proof."""
    judged = baking()
    wealth = judged.state.harm["5xx"]
    judged.tick(None, sample(100, failed=100))
    assert judged.state.harm["5xx"] == wealth
    while judged.state.grace["5xx"].depth < 2.0:
        judged.tick(None, sample(100, failed=100))
    wealth = judged.state.harm["5xx"]
    judged.tick(None, sample(100))
    assert judged.state.harm["5xx"].total < wealth.total


def test_a_spell_is_the_excess_over_time() -> None:
    """A second of outage counts as much as twenty seconds of five points; better times take away, and so does time."""
    outage = GracePeriod().after(1.0, 1.0, SOME)
    mild = GracePeriod()
    for _ in range(20):
        mild = mild.after(0.05, 1.0, SOME)
    assert outage.depth == pytest.approx(1.0)
    assert mild.depth == pytest.approx(1.0, abs=0.03)
    assert outage.after(-0.1, 1.0, SOME).depth == pytest.approx(0.9, abs=0.01)
    assert outage.after(0.0, 5.0, SOME).depth < outage.depth
    assert outage.after(-1.0, 5.0, SOME).depth == 0.0
    assert GracePeriod().after(1.0, 1000.0, SOME).depth <= 5.0
    assert GracePeriod(depth=19.5).after(1.0, 5.0, SOME).depth == 2 * SOME.most


def test_what_is_forgiven_lies_between_least_and_most() -> None:
    """Little at first after a change of weight, more where stable had more, never more than the most."""
    assert GracePeriod().allowance(SOME, 0.0) == 0.0
    assert GracePeriod().allowance(SOME, 30.0) == pytest.approx(1.0)
    assert GracePeriod().allowance(SOME, 1e9) == 2.0
    assert GracePeriod(worst=4.0).allowance(SOME, 0.0) == 6.0
    assert GracePeriod(worst=400.0).allowance(SOME, 1e9) == 10.0
    assert GracePeriod(3.0, 1.0).with_worst() == GracePeriod(3.0, 3.0)
    assert GracePeriod(3.0, 3.0).at_bake() == GracePeriod(0.0, 3.0)
    assert all(one.least < one.most < math.inf for one in GRACE_LIMITS.values())


def test_spells_outlive_a_restart() -> None:
    """What the bake has seen is stored with the rest of the evidence."""
    judged = baking()
    judged.load(10, canary=Server(errors=0.05), seed=3)
    assert judged.state.grace["5xx"].depth > 0
    assert load_state(dump_state(judged.state)).grace == judged.state.grace
