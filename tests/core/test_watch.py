"""The watch over stable while no rollout runs."""

from random import Random

import pytest

from controller.core.judge.arrivals import BLIND_AFTER
from controller.core.judge.stable_watch import ALARM, StableWatch, watch_stable
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import ErrorPolicy, LatencyPolicy, Policy
from controller.core.traffic.window import Sample

POLICY = Policy(errors=ErrorPolicy(max=0.05), latency=LatencyPolicy(p99=0.25))


def answers(n: int, failed: int = 0, slow: int = 0) -> Sample:
    """So many answers: in 20 ms, or in half a second."""
    latency = tuple([bucket for bucket in ((20.0, n - slow), (500.0, slow)) if bucket[1]])
    return Sample(n, n - failed, {"5xx": failed}, latency, (20.0, 250.0, 500.0))


def watched(
    looks: int, sample: Sample, watch: StableWatch | None = None, policy: Policy = POLICY
) -> tuple[StableWatch, Verdict]:
    """After so many looks at the same, one a second."""
    watch = watch or StableWatch("v1")
    start = watch.last_sample or 0.0
    for number in range(1, looks + 1):
        watch, verdict = watch_stable(policy, watch, sample, start + number)
    return watch, verdict


@pytest.mark.proves("track-record 56")
def test_a_stable_without_errors_is_told_to_have_none() -> None:
    """What is believed before anything was seen is for the bets, not for people."""
    [reason] = watched(60, answers(10))[1].reasons
    assert (reason.code, reason.text) == ("healthy", "as usual: v1: 0.0% recent errors, 0.00% usually")


def test_a_stable_above_its_limit_of_errors_is_found_and_its_recovery_too() -> None:
    """Within seconds; and when it answers again, within about a minute."""
    watch, verdict = watched(5, answers(100, failed=40))
    assert (verdict.outcome, verdict.cause) == (Outcome.HARM, "errors_max")
    assert (verdict.reasons[0].evidence or 0.0) >= ALARM
    assert watched(60, answers(100), watch)[1].outcome is not Outcome.HARM


def test_a_stable_above_its_limit_of_latency_is_found() -> None:
    """More than one answer in a hundred takes longer than `latency.p99`."""
    verdict = watched(60, answers(100, slow=10))[1]
    assert (verdict.outcome, verdict.cause) == (Outcome.HARM, "latency_p99_max")


def test_without_limits_nothing_is_harm() -> None:
    """There is nothing to compare with: that it is worse than it was is shown, and moves nothing."""
    calm, _ = watched(60, answers(100), policy=Policy())
    verdict = watched(10, answers(100, failed=90), calm, Policy())[1]
    assert (verdict.outcome, verdict.cause) == (Outcome.UNKNOWN, "incident")


@pytest.mark.parametrize("limit", [0.001, 0.05, 0.5, 1.0])
def test_at_the_edge_of_the_limit_there_is_no_alarm_for_long(limit: float) -> None:
    """The promise is less than one false alarm in a month; this would fail at one in a few minutes."""
    rng, watch = Random(1), StableWatch("v1")
    policy = Policy(errors=ErrorPolicy(max=limit))
    for second in range(1, 1800):
        failed = sum([rng.random() < limit for _ in range(10)])
        watch, verdict = watch_stable(policy, watch, answers(10, failed), float(second))
        assert verdict.outcome is not Outcome.HARM


@pytest.mark.proves("track-record 55")
@pytest.mark.parametrize("limit", [0.9, 0.97, 1.0])
def test_below_a_high_limit_there_is_no_alarm(limit: float) -> None:
    """A limit that hardly limits raises none."""
    policy = Policy(errors=ErrorPolicy(max=limit))
    assert watched(600, answers(100, failed=30), policy=policy)[1].outcome is not Outcome.HARM


def test_silence_is_blindness_and_no_traffic_is_none() -> None:
    """Neither is harm."""
    watch, _ = watched(10, answers(10))
    verdict = watch_stable(POLICY, watch, None, 10.0 + BLIND_AFTER + 1)[1]
    assert (verdict.outcome, verdict.blind) == (Outcome.UNKNOWN, True)
    assert watched(60, Sample())[1].cause == "no_traffic"
