"""Custom metrics under the judge: what a rate and a gauge promise, and what an unread metric may and may not do."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.core.control.commands import Verb
from controller.core.judge.custom.custom_metrics import (
    BUDGET,
    SILENT,
    CustomMetrics,
    dump_custom,
    load_custom,
    total_evidence,
    with_custom,
    without_custom,
)
from controller.core.judge.custom.judged_metric import ALONE_MARGIN, JudgedMetric
from controller.core.judge.state import JudgeState
from controller.core.judge.verdict import Outcome, Reason, Verdict
from controller.core.model.rollout import Phase
from controller.core.model.service import MetricPolicy, Policy
from controller.core.traffic.readings import Counted, Gauged, Reading, Unread
from controller.core.traffic.window import Window
from tests.support.loop_harness import running_rollout

PASS = Verdict(Outcome.PASS, (Reason("no_harm", "all is well"),))
POLICY = Policy(metrics=(MetricPolicy(name="accuracy", margin=0.02),))


def looks(
    readings: Sequence[Reading | None],
    policy: Policy = POLICY,
    *,
    weight: int = 500,
    told: Verdict = PASS,
    custom: CustomMetrics | None = None,
) -> tuple[list[Verdict], CustomMetrics]:
    """The verdicts on such readings, one every 15 s, where the judge says `told` of everything else; and what is known
    of the metrics after them."""
    custom = custom or {}
    found = []
    for n, reading in enumerate(readings):
        evidence = JudgeState.start(without_custom(policy))
        evidence.time, evidence.weight = n * 15.0, weight
        window = Window(n * 15.0, weight, None, None, {"accuracy": reading} if reading else {})
        custom, verdict = with_custom(policy, custom, window, evidence, told)
        custom = load_custom(json.loads(json.dumps(dump_custom(custom))))  # as after a restart
        found.append(verdict)
    return found, custom


def judged(readings: list[Reading | None], policy: Policy = POLICY, *, weight: int = 500) -> list[Verdict]:
    """The verdicts alone."""
    return looks(readings, policy, weight=weight)[0]


def block(dice: random.Random, canary: float, stable: float, n_c: int = 50, n_s: int = 500) -> Counted:
    """A poll's counts at these rates."""
    return Counted(
        n_c, sum(dice.random() < canary for _ in range(n_c)), n_s, sum(dice.random() < stable for _ in range(n_s))
    )


def test_a_worse_rate_is_harm() -> None:
    """Twice as many wrong answers as stable has are found within a minute or so of polls."""
    dice = random.Random(1)
    found = judged([block(dice, 0.25, 0.08) for _ in range(20)])
    harm = next(n for n, verdict in enumerate(found) if verdict.outcome is Outcome.HARM)
    assert harm <= 10
    assert found[harm].cause == "custom"
    assert found[harm].reasons[0].channel == "accuracy"
    assert "canary" in found[harm].reasons[0].text


def test_the_promise_of_a_rate() -> None:
    """A canary exactly at the margin is rolled back in no more rollouts than its part of the budget: 10 % of 0.2."""
    dice, policy = random.Random(7), POLICY.model_copy(update={"false_rollback": 0.5})
    wrong = 0
    for _ in range(200):
        readings: list[Reading | None] = [block(dice, 0.10, 0.08, 30, 90) for _ in range(60)]
        wrong += any(verdict.outcome is Outcome.HARM for verdict in judged(readings, policy))
    assert wrong / 200 <= 0.5 * BUDGET


def test_the_budget_is_shared_out_once() -> None:
    """What custom metrics get is taken from the rest; without any the rest has it all."""
    assert without_custom(POLICY).false_rollback == POLICY.false_rollback * (1 - BUDGET)
    assert without_custom(Policy()) is not None
    assert without_custom(Policy()).false_rollback == Policy().false_rollback


def test_a_gate_opens_by_proof() -> None:
    """A rate that is as good as stable's passes after enough counts, and not on the first reading."""
    dice = random.Random(3)
    found = judged([block(dice, 0.05, 0.05, 500, 2000) for _ in range(20)])
    assert [found[0].outcome, found[-1].outcome] == [Outcome.UNKNOWN, Outcome.PASS]
    assert found[0].reasons[-1].code == "insufficient"
    assert not any(verdict.outcome is Outcome.HARM for verdict in found)


@pytest.mark.proves("fault 17")
@pytest.mark.parametrize("readings", [[None] * 30, [Unread("HTTP 500")] * 30, [Counted(0, 0, 0, 0)] * 30])
def test_what_is_not_read_holds_and_no_more(readings: list[Reading | None]) -> None:
    """Silence, errors and no labels at all: the gate is shut, with the reason, and nothing is rolled back."""
    assert {verdict.outcome for verdict in judged(readings)} == {Outcome.UNKNOWN}
    assert {verdict.reasons[-1].channel for verdict in judged(readings)} == {"accuracy"}


@pytest.mark.parametrize("weight", [500, 10_000])
def test_only_a_policy_that_says_so_rolls_back_blind(weight: int) -> None:
    """`on_blind: rollback`, and only after a minute and a half; at 100 % too."""
    blind = POLICY.model_copy(update={"on_blind": "rollback"})
    found = judged([Unread("HTTP 500")] * 8, blind, weight=weight)
    late = round(SILENT / 15)
    assert [verdict.outcome for verdict in found] == [Outcome.UNKNOWN] * late + [Outcome.HARM] * (8 - late)
    assert "HTTP 500" in found[-1].reasons[0].text


def test_a_counter_that_fell_is_no_blindness() -> None:
    """It holds the gate with its reason, and is not what `on_blind: rollback` means."""
    fell = Unread("of v2: a counter fell", heard=True)
    found = judged([fell] * 20, POLICY.model_copy(update={"on_blind": "rollback"}))
    assert {verdict.outcome for verdict in found} == {Outcome.UNKNOWN}
    assert "a counter fell" in found[-1].reasons[0].text


def test_a_reading_lost_between_good_ones_shuts_the_gate_until_the_next() -> None:
    """What was proven before is not forgotten, and a last word of 'unknown' is not passed over."""
    dice = random.Random(3)
    good: list[Reading | None] = [block(dice, 0.05, 0.05, 500, 2000) for _ in range(20)]
    found = judged([*good, Unread("a counter was reset"), *good[:2]])
    assert [verdict.outcome for verdict in found[-4:]] == [Outcome.PASS, Outcome.UNKNOWN, Outcome.PASS, Outcome.PASS]


@pytest.mark.proves("fault 21", "track-record 16")
def test_a_gauge_decides_by_k_of_n() -> None:
    """Three of five readings beyond the margin are harm; one alone shuts the gate while it is among the five, and fewer
    than three open none."""
    policy = Policy(metrics=(MetricPolicy(name="accuracy", margin=0.2),))

    def read(*values: float) -> list[Outcome]:
        return [v.outcome for v in judged([Gauged(v, 100.0, True, 3, 5) for v in values], policy)]

    harm, passed, unknown = Outcome.HARM, Outcome.PASS, Outcome.UNKNOWN
    assert read(100, 119, 90, 100) == [unknown, unknown, passed, passed]
    assert read(100, 130, 100, 100, 100, 100, 100) == [*[unknown] * 6, passed]
    assert read(130, 100, 130, 100, 130) == [*[unknown] * 4, harm]
    lower = [v.outcome for v in judged([Gauged(70.0, 100.0, False, 3, 5)] * 3, policy)]
    assert lower == [unknown, unknown, harm]


@pytest.mark.proves("track-record 15")
def test_a_gauge_that_is_zero_on_stable_has_a_slack() -> None:
    """One waiting request more than none is no harm where the settings say that so much is no difference."""
    policy = Policy(metrics=(MetricPolicy(name="accuracy", margin=0.5),))

    def read(slack: float) -> Outcome:
        return judged([Gauged(1.0, 0.0, True, 3, 5, slack)] * 3, policy)[-1].outcome

    assert (read(0.0), read(2.0)) == (Outcome.HARM, Outcome.PASS)


def test_in_the_warm_up_nothing_is_judged() -> None:
    """A cold cache is no harm."""
    cold = replace(PASS, outcome=Outcome.UNKNOWN, warm=False)
    for reading in (Counted(100, 90, 1000, 10), Gauged(9.0, 1.0, True, 3, 5)):
        found, custom = looks([reading] * 30, told=cold)
        assert {verdict.outcome for verdict in found} == {Outcome.UNKNOWN}
        assert (custom["accuracy"].harm_evidence, custom["accuracy"].worse) == (1.0, ())


class TestAtFullWeight:
    """At 100 % there is no stable beside the canary, only its past."""

    def past(self, reading: Reading, times: int = 40) -> CustomMetrics:
        """What is known after a rollout in which stable was so, and the canary as good."""
        found, custom = looks([reading] * times)
        assert Outcome.HARM not in {verdict.outcome for verdict in found}
        return custom

    def test_a_rate_far_above_stables_past_is_harm(self) -> None:
        """Stable had 5 % wrong; 20 % of the canary's are found, without one more label of stable's."""
        past = self.past(Counted(50, 2, 500, 25))
        found, custom = looks([Counted(500, 100, 0, 0)] * 10, weight=10_000, custom=past)
        assert found[-1].outcome is Outcome.HARM
        assert "allowed 6 percentage points above stable's past, 1000 of 20000 (5 %)" in found[-1].reasons[0].text
        assert custom["accuracy"].counts[2:] == past["accuracy"].counts[2:]

    def test_within_three_margins_of_the_past_nothing_fires_however_long_it_is_watched(self) -> None:
        """A canary at the edge of what is allowed, for two days of bake at a reading each 15 s: its budget holds."""
        past, wrong, dice = self.past(Counted(50, 2, 500, 25)), 0, random.Random(5)
        policy = POLICY.model_copy(update={"false_rollback": 0.5})
        for _ in range(20):
            readings: list[Reading | None] = [
                Counted(50, sum(dice.random() < 0.05 + ALONE_MARGIN * 0.02 for _ in range(50)), 0, 0)
                for _ in range(600)
            ]
            wrong += any(v.outcome is Outcome.HARM for v in looks(readings, policy, weight=10_000, custom=past)[0])
        assert wrong / 20 <= 0.5 * BUDGET

    def test_late_labels_of_stable_are_still_compared_with(self) -> None:
        """Labels come hours later: while stable's still come, both are compared as they are at the same time."""
        past = self.past(Counted(50, 2, 500, 25))
        shared = looks([Counted(300, 90, 300, 90)] * 40, weight=10_000, custom=past)[0]
        assert {verdict.outcome for verdict in shared} == {Outcome.PASS}

    def test_a_gauge_is_compared_with_the_worst_level_that_stable_had(self) -> None:
        """A queue grows with the load: stable's under most of the traffic is the measure, three margins above it."""
        busy, idle = Gauged(8.0, 10.0, True, 3, 5), Gauged(2.0, 2.0, True, 3, 5)
        policy = Policy(metrics=(MetricPolicy(name="accuracy", margin=0.5),))
        past = looks([busy] * 3 + [replace_stable(busy, 900.0)] + [idle] * 20, policy)[1]

        def read(value: float) -> list[Outcome]:
            return [
                v.outcome for v in looks([Gauged(value, None, True, 3, 5)] * 5, policy, weight=10_000, custom=past)[0]
            ]

        assert past["accuracy"].worst_level == 10.0
        assert read(24.0)[-1] is Outcome.PASS
        assert read(26.0)[-1] is Outcome.HARM

    @pytest.mark.parametrize("reading", [Counted(500, 400, 0, 0), Gauged(1e6, None, True, 3, 5)])
    def test_without_a_past_it_is_unknown(self, reading: Reading) -> None:
        """Nothing to compare with is no harm, and is said."""
        found = judged([reading] * 30, weight=10_000)
        assert {verdict.outcome for verdict in found} == {Outcome.UNKNOWN}
        assert "there is none" in found[-1].reasons[-1].text


def replace_stable(gauge: Gauged, value: float) -> Gauged:
    """The reading with another value of stable's."""
    return gauge._replace(stable=value)


def test_everything_together_is_one_bet() -> None:
    """Errors and labels that are not evidence enough by themselves are together, and the greater part is named."""
    evidence = JudgeState.start(without_custom(POLICY))
    evidence.harm = {
        name: wealth._replace(bets=(110.0 if name == "5xx" else 0.0,)) for name, wealth in evidence.harm.items()
    }
    custom = {"accuracy": JudgedMetric(last_reading=0.0, why_unknown="", bets=(70.0, 0.0, 0.0))}
    assert evidence.total < 125
    assert 100 < total_evidence(POLICY, custom, evidence) < 105
    _, verdict = with_custom(POLICY, custom, Window(1.0, 500, None, None), evidence, PASS)
    assert (verdict.outcome, verdict.reasons[0].channel) == (Outcome.HARM, "5xx")
    alone = {"accuracy": JudgedMetric(last_reading=0.0, why_unknown="", bets=(510.0, 0.0, 0.0))}
    _, verdict = with_custom(
        POLICY, alone, Window(1.0, 500, None, None), JudgeState.start(without_custom(POLICY)), PASS
    )
    assert (verdict.outcome, verdict.reasons[0].channel) == (Outcome.HARM, "accuracy")


def test_what_an_older_version_stored_is_taken_up() -> None:
    """Sessions from before gauges had a past have fewer values; they are gone on with."""
    old = {"accuracy": [30.0, "", 0.5, [1.0, 2.0, 3.0], [1.0], [50, 2, 500, 25], None, [], 0]}
    assert load_custom(old)["accuracy"] == JudgedMetric(30.0, "", 0.5, (1.0, 2.0, 3.0), (1.0,), (50, 2, 500, 25))


@pytest.mark.proves("fault 17", "track-record 63")
async def test_a_prometheus_that_is_away_takes_back_only_where_the_policy_says_so() -> None:
    """Under the real loop, for two minutes: on hold by one policy, rolled back by the other, which says why. The ledger
    tells both, so that someone is told."""
    for on_blind, phase in (("hold", Phase.PROGRESSING), ("rollback", Phase.ROLLED_BACK)):
        extra = f"  on_blind: {on_blind}\n  metrics: [{{name: accuracy}}]\n"
        async with running_rollout(metrics=("accuracy",), extra=extra) as harness:
            for _ in range(240):
                harness.readings = {"accuracy": Unread("of v2: Prometheus cannot be asked")}
                await harness.tick()
            rollout = await harness.rollout()
            assert (rollout.phase, rollout.step) == (phase, 0)
            text = "accuracy is unknown" if phase is Phase.PROGRESSING else "accuracy has not been read for 90 s"
            assert any(text in told for told in (*harness.replica.live("scorer").reasons, rollout.reason))
            assert (await harness.kinds()).count("metric_lost") == 1
            if phase is Phase.ROLLED_BACK:
                await harness.act(Verb.START, canary="v2")
                await harness.ticks(20)
                assert "metric_back" not in await harness.kinds(), "a new rollout reads no metric by itself"
            harness.readings = {"accuracy": Counted(40, 2, 160, 8)}
            await harness.ticks(4)
            assert "metric_back" in await harness.kinds()


async def test_it_takes_a_rollout_back_and_the_ledger_says_why() -> None:
    """Under the real loop: everything that Envoy sees is well, the labels are wrong, and it is rolled back."""
    async with running_rollout(metrics=("accuracy",), extra="  metrics: [{name: accuracy, margin: 2%}]\n") as harness:
        await harness.ticks(60)
        assert (await harness.rollout()).step == 0
        assert "accuracy is unknown" in harness.replica.live("scorer").reasons[-1]
        for _ in range(60):
            harness.readings = {"accuracy": Counted(40, 16, 160, 8)}
            await harness.tick()
            if not (await harness.rollout()).phase.startswith("PROGRESSING"):
                break
        assert (await harness.rollout()).phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
        line = next(line for line in await harness.store.events() if line.entry.kind == "rollback")
        assert line.entry.details["reasons"][0]["channel"] == "accuracy"  # type: ignore[index,call-overload]
