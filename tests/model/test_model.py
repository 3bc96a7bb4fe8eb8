"""The model holds; and it is able to fail: each mutant of the real parts is caught."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Model
from tests.model.mutants import MUTANTS

QUICK = settings(max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
HUNT = settings(
    QUICK, max_examples=1500, derandomize=True, database=None, phases=(Phase.generate,), report_multiple_bugs=False
)
LONG = settings(QUICK, max_examples=4000, stateful_step_count=60)


def test_nothing_is_lost_and_nothing_moves_by_accident() -> None:
    """Whatever operators, controllers, proxies and the clock do under a few faults: every promise holds."""
    run_state_machine_as_test(Model, settings=QUICK)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_is_lost_and_nothing_moves_by_accident_for_minutes() -> None:
    """The same, a hundred times as long."""
    run_state_machine_as_test(Model, settings=LONG)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str) -> None:
    """A model that cannot fail proves nothing: with this part wrong, some promise is seen to be broken."""
    model = type("Mutant", (Model,), {"parts": MUTANTS[mutant]})
    with pytest.raises(AssertionError):
        run_state_machine_as_test(model, settings=HUNT)
