"""What is known of the canary at a step: an upper bound that may be read at any time."""

import random

from controller.core.judge.channels import plan_of
from controller.core.judge.non_inferiority import MarginWealth, NonInferiorityTest, bound
from controller.core.judge.paired_counts import PairedCounts
from controller.core.model.service import Policy
from controller.simulation.simulated_version import Server, binomial
from tests.judge.driving import JudgeRun

MARGINS = (0.10, 0.05, 0.02, 0.01)
LIMIT = 20.0


def after_blocks(seed: int, excess: float, blocks: int) -> list[int | None]:
    """The bound after each block of 100 and 900 requests: stable 1 % errors, the canary by `excess` more."""
    rng = random.Random(seed)
    test = NonInferiorityTest.of(len(MARGINS))
    found = []
    for time in range(blocks):
        counts = PairedCounts(100, binomial(rng, 100, 0.01 + excess), 900, binomial(rng, 900, 0.01))
        test = test.with_block(float(time), 0.01, [("", counts)])
        test = test.after_bet(float(time), 0.0, 0, MARGINS.__getitem__, 1e9)
        found.append(bound(test, 0, LIMIT))
    return found


def test_the_bound_of_a_good_canary_falls_to_the_smallest_margin() -> None:
    """The wide margins are shown first."""
    found = [-1 if index is None else index for index in after_blocks(1, 0.0, 400)]
    assert found[0] < found[40] <= found[-1] == len(MARGINS) - 1


def test_the_bound_is_below_the_true_excess_in_few_rollouts_only() -> None:
    """95 %, at a true excess of 2 percentage points, read after each of 150 blocks: index 2 is wrong."""
    runs = 300
    rollouts = [after_blocks(seed, 0.02, 150) for seed in range(runs)]
    wrong = sum(any(index is not None and index >= 2 for index in found) for found in rollouts)
    assert wrong <= runs * 0.05 + 3 * (runs * 0.05 * 0.95) ** 0.5
    assert all(found[-1] is not None for found in rollouts)  # the wider margins are shown all the same


def test_a_margin_counts_only_if_every_wider_one_does() -> None:
    """So that the bound holds also where luck has favoured a small margin."""
    wealth = (25.0, 3.0, 30.0, 1.0)
    test = NonInferiorityTest.of(4)._replace(margins=tuple(MarginWealth(0.0, each) for each in wealth))
    assert bound(test, 0, LIMIT) == 0
    assert bound(test, 2, LIMIT) == 2
    assert bound(test, 3, LIMIT) is None


def test_the_reasons_of_a_step_say_the_bound() -> None:
    """As a number for programs and in the sentence: what an engineer reads beside the gate's margin."""
    policy = Policy(warmup=0)
    run = JudgeRun(policy, weight=500)
    verdict = run.load(200, canary=Server(), stable=Server())
    (shown,) = verdict.reasons
    margins = [level["5xx"] for level in plan_of(policy).ladder]
    assert shown.bound is not None
    assert shown.margin is not None
    assert min(margins) < shown.bound < shown.margin
    assert "(95 %: at most stable + " in shown.text
    assert shown.plain()["bound"] == shown.bound
