"""The time to the first token: harm and no harm of its own, whatever the whole answers' lengths do."""

import json
import random
from collections import Counter
from dataclasses import replace

import pytest

from controller.core.judge.channels import plan_of
from controller.core.judge.stored_state import dump_state, load_state
from controller.core.judge.verdict import Outcome
from controller.core.model.service import LatencyPolicy, Policy
from controller.core.traffic.latency_buckets import bucket_of, with_edges
from controller.core.traffic.window import Sample, Stratum, Window, added_up
from tests.judge.driving import JudgeRun, codes

STREAMS = Policy(
    steps=(500, 1000), dwell=60, warmup=0, deadline=1e6, latency=LatencyPolicy(tolerance=None, ttft_tolerance=0.1)
)


def streams(rng: random.Random, n: int, first_ms: float, seconds: float) -> Sample:
    """n streams that ended: their first tokens came after about `first_ms`, the last after about `seconds`."""
    first = Counter(bucket_of(first_ms * rng.lognormvariate(0, 0.4)) for _ in range(n))
    whole = Counter(bucket_of(1000 * seconds * rng.lognormvariate(0, 0.8)) for _ in range(n))
    return replace(Sample.of_buckets(n, n, {"5xx": 0}, whole), ttft=with_edges(first))


def play(run: JudgeRun, ticks: int, *, first_ms: float = 300.0, seconds: float = 20.0, seed: int = 1) -> Outcome:
    """Stable's first tokens take 300 ms and its answers 20 s; a canary's take these. Ends at the first harm."""
    rng = random.Random(seed)
    for _ in range(ticks):
        verdict = run.tick(streams(rng, 95, 300.0, 20.0), streams(rng, 5, first_ms, seconds))
        if verdict.outcome is Outcome.HARM:
            break
    return run.verdicts[-1].outcome


def test_a_first_token_that_comes_half_as_late_again_is_harm_though_the_answers_take_as_long() -> None:
    """By the channels of the first token, and soon."""
    run = JudgeRun(STREAMS)
    assert play(run, 120, first_ms=450.0) is Outcome.HARM
    (reason,) = run.verdicts[-1].reasons
    assert reason.code.startswith("ttft")
    assert "first tokens later than stable's" in reason.text
    assert "10 % later" in reason.text


@pytest.mark.parametrize("seconds", [5.0, 40.0], ids=["shorter", "longer"])
def test_the_length_of_an_answer_is_neither_harm_nor_in_the_way(seconds: float) -> None:
    """A canary that answers at other lengths is not accused, and passes its gate."""
    run = JudgeRun(STREAMS)
    assert play(run, 400, seconds=seconds) is Outcome.PASS
    assert all(verdict.outcome is not Outcome.HARM for verdict in run.verdicts)


def test_the_length_is_judged_where_the_policy_says_so() -> None:
    """With a tolerance for the whole answer, both times are judged."""
    run = JudgeRun(STREAMS.model_copy(update={"latency": LatencyPolicy(tolerance=0.1, ttft_tolerance=0.1)}))
    assert play(run, 400, seconds=40.0) is Outcome.HARM
    assert run.verdicts[-1].reasons[0].code.startswith("latency")


def test_an_absolute_limit_of_the_whole_answer_is_judged_by_itself() -> None:
    """With `latency.p99` alone: beyond it is harm, within it the length says nothing, and no gate asks for it."""
    latency = LatencyPolicy(tolerance=None, ttft_tolerance=0.1, p99=50.0)
    limited = STREAMS.model_copy(update={"latency": latency, "patience": 0.0})
    assert {"latency", "latency_p50", "latency_max"} & plan_of(limited).weights.keys() == {"latency_max"}
    assert set(plan_of(limited).gates) == {"5xx", "4xx", "ttft_p50", "ttft_p99"}
    outcomes = {}
    for seconds in (6.0, 40.0):
        run, rng = JudgeRun(limited), random.Random(3)
        for _ in range(400):
            run.tick(streams(rng, 95, 300.0, 3.0), streams(rng, 5, 300.0, seconds))
        outcomes[seconds] = {verdict.reasons[0].code for verdict in run.verdicts if verdict.outcome is Outcome.HARM}
        assert (run.verdicts[-1].outcome is Outcome.PASS) == (seconds == 6.0)
    assert outcomes == {6.0: set(), 40.0: {"latency_max"}}


def test_the_gate_waits_for_the_first_token() -> None:
    """A canary that is slower to its first token than the gate allows does not pass, however much proof harm needs; one
    that is not, does."""
    patient = STREAMS.model_copy(update={"false_rollback": 1e-300})
    slower, alike = JudgeRun(patient), JudgeRun(patient)
    assert play(slower, 300, first_ms=700.0) is Outcome.UNKNOWN
    waits = {reason.channel for reason in slower.verdicts[-1].reasons if reason.code == "insufficient"}
    assert waits == {"ttft_p50", "ttft_p99"}
    assert Outcome.PASS not in {verdict.outcome for verdict in slower.verdicts}
    assert play(alike, 300) is Outcome.PASS


def test_healthy_streams_are_seldom_accused() -> None:
    """At most a rollout in a hundred, and here none of ten with 1500 of its first tokens."""
    accused = [seed for seed in range(10) if play(JudgeRun(STREAMS), 300, seed=seed) is Outcome.HARM]
    assert accused == []


def test_without_a_tolerance_the_first_token_is_not_looked_at() -> None:
    """And the plan of every other service is what it was."""
    plain = Policy(steps=(500,), dwell=60, warmup=0, deadline=1e6)
    assert not any(name.startswith("ttft") for name in (*plan_of(plain).weights, *plan_of(plain).gates))
    run = JudgeRun(plain)
    assert play(run, 100, first_ms=3000.0) is not Outcome.HARM
    assert "ttft" not in run.state.times
    assert "ttft" not in dump_state(run.state)


def test_the_budget_is_shared_among_what_is_judged() -> None:
    """The weights total 1, and the first token takes the part that the whole answer leaves."""
    plain, streaming = plan_of(Policy()).weights, plan_of(STREAMS).weights
    assert sum(streaming.values()) == pytest.approx(1.0)
    assert {name.replace("latency", "ttft"): weight for name, weight in plain.items()} == pytest.approx(streaming)


def test_gates_do_not_ask_for_what_no_proxy_reports() -> None:
    """An Envoy without the logger reports no first tokens: errors are still proved."""
    run, rng = JudgeRun(STREAMS), random.Random(1)
    for _ in range(400):
        run.tick(replace(streams(rng, 95, 300, 20), ttft=()), replace(streams(rng, 5, 300, 20), ttft=()))
    assert codes(run.verdicts[-1]) == ["no_harm"]


def test_the_state_goes_on_after_a_restart() -> None:
    """What is known of first tokens is stored."""
    run = JudgeRun(STREAMS)
    play(run, 90, first_ms=360.0)
    stored = json.loads(json.dumps(dump_state(run.state)))
    assert stored["ttft"]
    assert load_state(stored).times["ttft"] == run.state.times["ttft"]
    again = JudgeRun(STREAMS)
    again.state, again.now = load_state(stored), run.now
    again.state.window_clock = run.state.window_clock
    rng = random.Random(9)
    for _ in range(10):
        seen = streams(rng, 95, 300, 20), streams(rng, 5, 360, 20)
        assert run.tick(*seen) == again.tick(*seen)


def test_strata_keep_first_tokens_apart() -> None:
    """One group of proxies is slow on both sides and has more of the canary: no difference is seen."""
    rng, state = random.Random(4), JudgeRun(STREAMS)
    for tick in range(1, 300):
        fast = Stratum("fast", streams(rng, 90, 200, 20), streams(rng, 2, 200, 20))
        slow = Stratum("slow", streams(rng, 10, 800, 20), streams(rng, 8, 800, 20))
        window = Window.of_strata(float(tick), 500, (fast, slow))
        assert window.canary is not None
        assert sum(count for _, count in window.canary.ttft) == 10
        state.tick_window(window)
    assert all(verdict.outcome is not Outcome.HARM for verdict in state.verdicts)


def test_samples_add_up_their_first_tokens() -> None:
    """Bucket by bucket."""
    one, two = Sample(1, 1, ttft=((5.0, 1),)), Sample(2, 2, ttft=((5.0, 1), (9.0, 1)))
    both = added_up([one, two])
    assert both
    assert both.ttft == ((5.0, 2), (9.0, 1))
