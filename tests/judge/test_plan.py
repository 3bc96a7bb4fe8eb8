"""What follows from a policy alone."""

import re
from pathlib import Path

import pytest

from controller.core.judge.channels import plan_of
from controller.core.model.service import ErrorPolicy, LatencyPolicy, Policy

DOCUMENT = Path(__file__).parents[2] / "docs" / "judge.md"


def documented() -> list[tuple[str, list[float]]]:
    """The rows of the table of gates: the next share, and the margins in points."""
    text = DOCUMENT.read_text().partition("## The gates")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\|.*\|$", text, re.MULTILINE)]
    return [(share, [float(cell) for cell in margins]) for share, *margins in rows[2:]]


@pytest.mark.parametrize(
    ("following", "row"), [(1000, 0), (1250, 0), (1251, 1), (2500, 1), (2600, 2), (6250, 2), (6300, 3), (10_000, 4)]
)
def test_the_gates_margins_are_those_of_the_documents(following: int, row: int) -> None:
    """The share that follows a step says what must be shown before it is left."""
    steps = (500, following) if following < 10_000 else (500,)
    plan = plan_of(Policy(steps=steps))
    margins = plan.ladder[plan.rung_of(0)]
    assert [margins[metric] * 100 for metric in plan.gates] == pytest.approx(documented()[row][1])


def test_what_is_watched_shares_one_budget() -> None:
    """Whatever limits the policy has, the weights of all channels total 1."""
    limits = Policy(errors=ErrorPolicy(max=0.05), latency=LatencyPolicy(p99=0.5))
    for policy in (Policy(), limits):
        assert sum(plan_of(policy).weights.values()) == pytest.approx(1.0)
    assert {"errors_max", "latency_max"} <= plan_of(limits).weights.keys()
