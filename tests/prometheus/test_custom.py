"""Custom metrics under the judge: what a rate and a gauge promise, and what an unread metric may and may not do."""

import json
import random
from dataclasses import replace

import pytest

from controller.core.commands import Verb
from controller.core.custom import BUDGET, Followed, dump, load, with_custom, without_custom
from controller.core.readings import Counted, Gauged, Reading, Unread
from controller.core.rollout import Phase
from controller.core.spec import MetricPolicy, Policy
from controller.core.verdict import Outcome, Reason, Verdict, Window
from controller.store.memory import MemoryStore
from tests.loop.world import FILE, TwoClocks, running

PASS = Verdict(Outcome.PASS, (Reason("no_harm", "all is well"),))
POLICY = Policy(metrics=(MetricPolicy(name="accuracy", margin=0.02),))


def judged(readings: list[Reading | None], policy: Policy = POLICY, *, weight: int = 500) -> list[Verdict]:
    """The verdicts on such readings, one every 15 s, where everything else passes."""
    custom: dict[str, Followed] = {}
    found = []
    for n, reading in enumerate(readings):
        window = Window(n * 15.0, weight, None, None, {"accuracy": reading} if reading else {})
        custom, verdict = with_custom(policy, custom, window, n * 15.0, PASS)  # type: ignore[assignment]
        custom = dict(load(json.loads(json.dumps(dump(custom)))))  # as after a restart
        found.append(verdict)
    return found


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
    """A canary exactly at the margin is taken back in no more rollouts than its part of the budget: 10 % of 0.2."""
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


@pytest.mark.parametrize("readings", [[None] * 30, [Unread("HTTP 500")] * 30, [Counted(0, 0, 0, 0)] * 30])
def test_what_is_not_read_holds_and_no_more(readings: list[Reading | None]) -> None:
    """Silence, errors and no labels at all: the gate is shut, with the reason, and nothing is rolled back."""
    assert {verdict.outcome for verdict in judged(readings)} == {Outcome.UNKNOWN}
    assert {verdict.reasons[-1].channel for verdict in judged(readings)} == {"accuracy"}


def test_only_a_policy_that_says_so_rolls_back_blind() -> None:
    """`on_blind: rollback`, and only after a minute."""
    blind = POLICY.model_copy(update={"on_blind": "rollback"})
    found = judged([Unread("HTTP 500")] * 6, blind)
    assert [verdict.outcome for verdict in found] == [Outcome.UNKNOWN] * 4 + [Outcome.HARM] * 2
    assert "HTTP 500" in found[-1].reasons[0].text


def test_a_reading_lost_between_good_ones_shuts_the_gate_until_the_next() -> None:
    """What was proven before is not forgotten, and a last word of 'unknown' is not passed over."""
    dice = random.Random(3)
    good: list[Reading | None] = [block(dice, 0.05, 0.05, 500, 2000) for _ in range(20)]
    found = judged([*good, Unread("a counter was reset"), *good[:2]])
    assert [verdict.outcome for verdict in found[-4:]] == [Outcome.PASS, Outcome.UNKNOWN, Outcome.PASS, Outcome.PASS]


def test_a_gauge_decides_by_k_of_n() -> None:
    """Three of five readings beyond the margin are harm; one alone shuts the gate while it is among the five."""
    policy = Policy(metrics=(MetricPolicy(name="accuracy", margin=0.2),))

    def read(*values: float) -> list[Outcome]:
        return [v.outcome for v in judged([Gauged(v, 100.0, True, 3, 5) for v in values], policy)]

    harm, passed, unknown = Outcome.HARM, Outcome.PASS, Outcome.UNKNOWN
    assert read(100, 119, 90) == [passed] * 3
    assert read(100, 130, 100, 100, 100, 100, 100) == [passed, *[unknown] * 5, passed]
    assert read(130, 100, 130, 100, 130) == [*[unknown] * 4, harm]
    lower = [v.outcome for v in judged([Gauged(70.0, 100.0, False, 3, 5)] * 3, policy)]
    assert lower == [unknown, unknown, harm]


def test_in_the_warm_up_and_at_full_weight_nothing_is_judged() -> None:
    """A cold cache is no harm; without traffic on stable there is nothing to compare with."""
    cold = replace(PASS, outcome=Outcome.UNKNOWN, warm=False)
    custom: dict[str, Followed] = {}
    for n in range(30):
        window = Window(n * 15.0, 500, None, None, {"accuracy": Counted(100, 90, 1000, 10)})
        custom, verdict = with_custom(POLICY, custom, window, n * 15.0, cold)  # type: ignore[assignment]
        assert verdict.outcome is Outcome.UNKNOWN
    assert judged([Counted(100, 90, 1000, 10)] * 30, weight=10_000) == [PASS] * 30


async def test_it_takes_a_rollout_back_and_the_ledger_says_why() -> None:
    """Under the real loop: everything that Envoy sees is well, the labels are wrong, and it is rolled back."""
    clock = TwoClocks()
    store = MemoryStore(clock=clock)
    async with running(store, clock) as world:
        world.operations = type(world.operations)(store, clock, metrics=("accuracy",))
        text = FILE.format(name="scorer", port=10000, fallback="manual") + "  metrics: [{name: accuracy, margin: 2%}]\n"
        await world.operations.apply(text, who="alice")
        await world.act(Verb.START, canary="v2")
        await world.ticks(60)
        assert (await world.rollout()).step == 0
        assert "accuracy is unknown" in world.loop.live("scorer").told[-1]
        for _ in range(60):
            world.readings = {"accuracy": Counted(40, 16, 160, 8)}
            await world.tick()
            if not (await world.rollout()).phase.startswith("PROGRESSING"):
                break
        assert (await world.rollout()).phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
        line = next(line for line in await store.events() if line.entry.kind == "rollback")
        assert line.entry.details["reasons"][0]["channel"] == "accuracy"  # type: ignore[index,call-overload]
