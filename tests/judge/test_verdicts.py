"""What the judge says, and why: harm, proof of no harm, and the many ways of not knowing."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.judge.latency_block import LatencySide, exceeding, with_errors
from controller.core.judge.reasons import channel_readings, gate_readings
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import ErrorPolicy, LatencyPolicy, Policy
from controller.simulation.simulated_version import Server
from tests.judge.driving import STEADY, USUAL, JudgeRun, codes


def harmful(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.HARM


@pytest.mark.parametrize(
    ("fault", "code", "within"),
    [
        (Server(errors=1.0), "5xx", 4),
        (Server(errors=0.2), "5xx", 15),
        (Server(errors=0.03), "5xx", 150),
        (Server(client_errors=0.1), "4xx", 60),
        (Server(hang=1.0), "overdue", 8),
        (Server(median=60.0), "latency", 20),
        (Server(slow=0.1, slow_by=20.0), "latency", 60),
    ],
    ids=["outage", "errors", "few errors", "client errors", "hang", "slower", "a slow tail"],
)
def test_each_kind_of_harm_is_found_and_named(fault: Server, code: str, within: int) -> None:
    """A fault that sets in is found within seconds by the channel it belongs to, and told with what was seen."""
    judged = JudgeRun()
    verdict = judged.load(20 + within, until=harmful, canary=lambda t: fault if t >= 20 else USUAL)
    assert harmful(verdict)
    reason = verdict.reasons[0]
    assert reason.code.startswith(code)
    assert reason.evidence is not None
    assert reason.limit == 100 <= reason.evidence
    assert "canary" in reason.text
    assert "stable" in reason.text
    assert "evidence" in reason.text
    assert reason.canary_n > 0
    assert reason.stable_n > 0


def test_a_good_canary_is_not_accused_and_its_gates_open() -> None:
    """No harm is seen in ten minutes, and every gate metric is shown to be harmless."""
    judged = JudgeRun()
    verdict = judged.load(600, until=harmful)
    assert verdict.outcome is Outcome.PASS
    assert verdict.reasons[0].code == "no_harm"
    assert verdict.reasons[0].evidence is not None
    assert verdict.reasons[0].evidence >= 20


def test_differences_inside_the_margins_are_no_harm() -> None:
    """5 % slower, and one request in ten thousand more that fails: within what the policy allows."""
    judged = JudgeRun()
    verdict = judged.load(600, until=harmful, canary=Server(errors=0.0011, median=21.0))
    assert not harmful(verdict)


def test_an_incident_of_both_holds_the_gates_and_accuses_nobody() -> None:
    """Both versions fail 40 %: that is not the canary's doing. The gates stay shut until stable is well again."""
    judged = JudgeRun()

    def shared(t: float) -> Server:
        return Server(errors=0.4 if 100 <= t < 160 else 0.001)

    assert judged.load(100, stable=shared, canary=shared).outcome is not Outcome.HARM
    verdict = judged.load(58, stable=shared, canary=shared, until=harmful, seed=2)
    assert codes(verdict)[0] == "incident"
    assert "stable itself" in verdict.reasons[0].text
    assert not harmful(judged.load(120, stable=shared, canary=shared, until=harmful, seed=3))
    assert "incident" not in codes(judged.verdicts[-1])


def test_a_canary_that_is_worse_in_an_incident_is_found() -> None:
    """Stable fails 30 %, the canary 70 %: the incident does not hide it."""
    judged = JudgeRun()
    stable = Server(errors=0.3)
    judged.load(60, stable=stable, canary=stable)
    verdict = judged.load(30, stable=stable, canary=Server(errors=0.7), until=harmful, seed=2)
    assert harmful(verdict)
    assert verdict.reasons[0].code == "5xx"


def test_the_warm_up_forgives_what_a_cold_server_does_but_not_an_outage() -> None:
    """In the warm-up a few errors and slow answers are let pass; after it they are not; an outage never is."""
    cold = Server(errors=0.03, median=80.0)
    judged = JudgeRun(STEADY.model_copy(update={"warmup": 60.0}))
    verdict = judged.load(58, canary=cold, until=harmful)
    assert verdict.outcome is Outcome.UNKNOWN
    assert not verdict.warm
    assert "warming" in codes(verdict)
    assert harmful(judged.load(60, canary=cold, until=harmful, seed=2))
    outage = JudgeRun(STEADY.model_copy(update={"warmup": 60.0}))
    assert harmful(outage.load(5, canary=Server(errors=1.0), until=harmful))


@given(
    st.lists(st.tuples(st.sampled_from([5.0, 10.0, 20.0, 40.0, 80.0, 160.0]), st.booleans()), min_size=1, max_size=60),
    st.booleans(),
)
def test_failing_fast_does_not_look_fast(answers: list[tuple[float, bool]], timed: bool) -> None:
    """Errors count as infinitely slow. Wherever the histogram has them, and also if it lacks them, the canary's count
    of slow answers is never above the truth and stable's never below it."""
    edges = (5.0, 10.0, 15.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0)
    errors = sum(failed for _, failed in answers)
    buckets = Counter(latency for latency, failed in answers if timed or not failed)
    side = LatencySide(len(answers), errors, buckets.total(), (tuple(buckets.items()),))
    truth = [sum(failed or latency > edge for latency, failed in answers) for edge in edges]
    least = exceeding(with_errors(side, side.bins(edges), slowest=True))
    most = exceeding(with_errors(side, side.bins(edges), slowest=False))
    assert all(low <= true <= high for low, true, high in zip(least, truth, most, strict=True))
    assert sum(with_errors(side, side.bins(edges), slowest=True)) == len(answers)
    if not timed:
        assert least == truth == most


def test_errors_within_their_margin_are_not_slow_answers() -> None:
    """Errors that the policy allows, here 5 percentage points more, do not come back as harm for being slow."""
    judged = JudgeRun(STEADY.model_copy(update={"errors": ErrorPolicy(margin=0.05, ratio=1.1)}))
    assert not harmful(judged.load(600, canary=Server(errors=0.04), until=harmful))


def test_absolute_limits_roll_back_only_what_stable_keeps() -> None:
    """More errors than the file allows: the canary's fault if stable keeps the limit, no one's if it does not."""
    policy = STEADY.model_copy(update={"errors": ErrorPolicy(margin=0.3, ratio=1.0, max=0.05)})
    verdict = JudgeRun(policy).load(200, canary=Server(errors=0.15), until=harmful)
    assert harmful(verdict)
    assert verdict.reasons[0].code == "errors_max"
    bad = Server(errors=0.15)
    both = JudgeRun(policy)
    assert not harmful(both.load(200, canary=bad, stable=bad, until=harmful))
    assert "common_mode" in codes(both.verdicts[-1])


def test_the_limit_of_p99_is_kept() -> None:
    """Five in a hundred answers above the limit, where one is allowed; the tolerance alone would let them pass."""
    policy = STEADY.model_copy(update={"latency": LatencyPolicy(tolerance=1.0, p99=0.1)})
    verdict = JudgeRun(policy).load(400, canary=Server(slow=0.06, slow_by=7.0, sigma=0.3), until=harmful)
    assert harmful(verdict)
    assert verdict.reasons[0].code.startswith("latency")
    assert not harmful(JudgeRun(policy).load(300, canary=Server(sigma=0.3), until=harmful))


def test_what_is_missing_is_told_in_requests_and_time() -> None:
    """At low traffic the judge says how many requests the gate still needs and how long that takes."""
    judged = JudgeRun(Policy(warmup=0))
    judged.step = 3
    verdict = judged.load(300, rps=2.0)
    missing = next(reason for reason in verdict.reasons if reason.channel == "5xx")
    assert verdict.outcome is Outcome.UNKNOWN
    assert missing.code == "insufficient"
    assert missing.needed is not None
    assert missing.needed > 100
    assert "more canary requests at 5%" in missing.text
    assert "at this rate" in missing.text


def test_stricter_gates_need_more_than_the_first() -> None:
    """After a minute at 5 % the first gate is open and the last is not: margins shrink as exposure grows."""
    judged = JudgeRun(Policy(warmup=0))
    assert judged.load(60).outcome is Outcome.PASS
    judged.step = 3
    assert judged.load(1).outcome is Outcome.UNKNOWN


def test_a_canary_that_turns_bad_closes_its_gates() -> None:
    """What was shown before does not open a gate now: the evidence of no harm is cut off and falls at once."""
    judged = JudgeRun(Policy(warmup=0, false_rollback=1e-6, errors=ErrorPolicy(margin=0.02)))
    assert judged.load(120).outcome is Outcome.PASS
    verdict = judged.load(120, canary=Server(errors=0.5), until=lambda v: v.outcome is not Outcome.PASS, seed=2)
    assert verdict.outcome is not Outcome.PASS
    assert judged.now < 135


def test_every_channel_can_be_read() -> None:
    """For an explanation: each channel with what it saw and its evidence against its limit; the gate's metrics too."""
    judged = JudgeRun(Policy(errors=ErrorPolicy(max=0.1), warmup=0))
    judged.load(60, canary=Server(errors=0.01))
    by_code = {reading.code: reading for reading in channel_readings(judged.policy, judged.state)}
    assert {"5xx", "4xx", "overdue", "errors_max", "latency", "latency_p99"} <= by_code.keys()
    assert by_code["5xx"].canary_n > 200
    assert by_code["5xx"].stable_n > 4000
    for reading in by_code.values():
        assert reading.evidence is not None
        assert reading.limit is not None
        assert reading.evidence < reading.limit
    assert [r.channel for r in gate_readings(judged.policy, judged.state, 0)] == [
        "5xx",
        "4xx",
        "latency_p50",
        "latency_p99",
    ]


@pytest.mark.proves("track-record 73")
def test_one_of_a_thing_is_not_told_as_many() -> None:
    """`1 percentage point`, `1 more canary request`: in every reason, from the first tick to the last."""
    judged = JudgeRun(STEADY.model_copy(update={"errors": ErrorPolicy(margin=0.01)}), weight=5000)
    said = set()
    for seed in range(400):
        said |= {reason.text for reason in judged.load(1, seed=seed).reasons}
        said |= {reason.text for reason in channel_readings(judged.policy, judged.state)}
        said |= {reason.text for reason in gate_readings(judged.policy, judged.state, 0)}
    assert not [text for text in said if re.search(r"(?<![\d.])1 (\w+ ){0,2}(points|requests|readings|looks)\b", text)]
    for words in ("+ 1 percentage point;", "1 more canary request at"):
        assert any(words in text for text in said), words
