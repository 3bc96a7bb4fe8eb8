"""Absolute limits of custom metrics: found like a limit of errors, and no harm where stable breaks them too."""

import random

import pytest

from controller.core.judge.custom.custom_metrics import BUDGET
from controller.core.judge.custom.judged_metric import JudgedMetric
from controller.core.judge.verdict import Outcome, Verdict
from controller.core.model.service import MetricPolicy, Policy
from controller.core.traffic.readings import Counted, Gauged, Reading
from tests.prometheus.test_custom import block, judged, looks


def policy(**limits: float) -> Policy:
    """A policy whose margin allows anything, so that the limits alone decide."""
    return Policy(metrics=(MetricPolicy(name="accuracy", margin=1.0, **limits),))


def first_harm(found: list[Verdict]) -> int | None:
    """The first reading at which harm was found."""
    return next((n for n, verdict in enumerate(found) if verdict.outcome is Outcome.HARM), None)


@pytest.mark.parametrize(
    ("limits", "canary", "stable"),
    [({"max": 0.05}, 0.15, 0.03), ({"min": 0.85}, 0.75, 0.92), ({"min": 0.6, "max": 0.9}, 0.97, 0.8)],
    ids=["max", "min", "both"],
)
def test_a_rate_beyond_its_limit_is_harm(limits: dict[str, float], canary: float, stable: float) -> None:
    """Whatever the margin to stable; the sentence says the limit."""
    dice = random.Random(1)
    found = judged([block(dice, canary, stable) for _ in range(60)], policy(**limits))
    at = first_harm(found)
    assert at is not None
    assert at <= 30
    assert "at most" in found[at].reasons[0].text or "at least" in found[at].reasons[0].text
    assert found[at].reasons[0].channel == "accuracy"


@pytest.mark.parametrize(("limits", "rate"), [({"max": 0.05}, 0.15), ({"min": 0.85}, 0.75)], ids=["max", "min"])
def test_what_stable_breaks_too_is_no_harm(limits: dict[str, float], rate: float) -> None:
    """The limit is not the canary's to keep where its stable does not."""
    dice = random.Random(2)
    assert first_harm(judged([block(dice, rate, rate) for _ in range(60)], policy(**limits))) is None


@pytest.mark.parametrize("limits", [{"max": 0.05}, {"min": 0.95}], ids=["max", "min"])
def test_the_promise_of_a_limit(limits: dict[str, float]) -> None:
    """A canary exactly at its limit is rolled back in no more rollouts than the metrics' part of the budget."""
    rate = limits.get("max") or limits["min"]
    safe = rate - 0.02 if "max" in limits else rate + 0.02
    dice, wrong = random.Random(7), 0
    tolerant = policy(**limits).model_copy(update={"false_rollback": 0.5})
    for _ in range(100):
        readings: list[Reading | None] = [block(dice, rate, safe, 30, 90) for _ in range(60)]
        wrong += first_harm(judged(readings, tolerant)) is not None
    assert wrong / 100 <= 0.5 * BUDGET


def test_a_limit_counts_also_at_100_percent_and_without_stables_past() -> None:
    """What the limit says needs nothing of stable."""
    dice = random.Random(3)
    alone: list[Reading | None] = [block(dice, 0.3, 0.0, 50, 0) for _ in range(20)]
    found = judged(alone, policy(max=0.05), weight=10_000)
    at = first_harm(found)
    assert at is not None
    assert at <= 5


def test_a_step_is_not_left_while_the_observed_rate_is_beyond_the_limit() -> None:
    """Too little to prove harm is reason enough to wait."""
    ok: list[Reading | None] = [Counted(500, 22, 2000, 80)] * 10
    found = judged([*ok, Counted(500, 40, 2000, 80)], policy(max=0.045))
    assert [found[-2].outcome, found[-1].outcome] == [Outcome.PASS, Outcome.UNKNOWN]
    assert "at most 4.5 %" in found[-1].reasons[-1].text


def test_a_margin_of_100_percent_leaves_only_the_limits() -> None:
    """Nothing has to be shown in comparison with stable then."""
    found = judged([Counted(50, 1, 500, 10)] * 3, policy(max=0.05))
    assert found[0].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("limits", "value", "stable", "worse"),
    [
        ({"min": 0.85}, 0.80, 0.90, True),
        ({"min": 0.85}, 0.86, 0.90, False),
        ({"min": 0.85}, 0.80, 0.84, False),
        ({"max": 250.0}, 260.0, 240.0, True),
        ({"max": 250.0}, 260.0, 255.0, False),
    ],
)
def test_a_gauge_beyond_its_limit_is_worse(limits: dict[str, float], value: float, stable: float, worse: bool) -> None:
    """By its k of n readings; not where stable is beyond it too."""
    found = judged([Gauged(value, stable, higher="max" in limits, k=3, n=5)] * 6, policy(**limits))
    assert first_harm(found) == (2 if worse else None)
    if worse:
        assert "or not at" in found[2].reasons[0].text


def test_a_gauge_at_100_percent_without_a_past_is_judged_by_its_limit() -> None:
    """There is nothing else to judge it by."""
    reading = Gauged(0.8, None, higher=False, k=3, n=5)
    assert first_harm(judged([reading] * 6, policy(min=0.85), weight=10_000)) == 2
    assert first_harm(judged([reading] * 6, policy(), weight=10_000)) is None


def test_without_limits_nothing_changes() -> None:
    """The evidence is that of the comparison alone, and what was stored before there were limits is taken up."""
    dice = random.Random(4)
    readings: list[Reading | None] = [block(dice, 0.1, 0.08) for _ in range(20)]
    known = looks(readings)[1]["accuracy"]
    assert known.limits == ()
    assert known.harm_evidence == known.unplaced + sum(known.bets)
    assert JudgedMetric.from_stored(list(known)[:-1]) == known
    with pytest.raises(TypeError):
        JudgedMetric.from_stored([*known, 1])
