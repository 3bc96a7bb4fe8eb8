"""The model holds; and it is able to fail: each mutant of the real parts is caught."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Model
from tests.model.mutants import MUTANTS, Mutant
from tests.model.wrong_routes import WRONG_ROUTES, Routes

pytestmark = pytest.mark.proves("track-record 40")

QUICK = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
HUNT = settings(
    QUICK, max_examples=500, derandomize=True, database=None, phases=(Phase.generate,), report_multiple_bugs=False
)
LONG = settings(QUICK, max_examples=4000, stateful_step_count=60)


def test_nothing_is_lost_and_nothing_moves_by_accident() -> None:
    """Whatever operators, controllers, proxies and the clock do under a few faults: every promise holds."""
    run_state_machine_as_test(Model, settings=QUICK)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_is_lost_and_nothing_moves_by_accident_for_minutes() -> None:
    """The same, two hundred times as long."""
    run_state_machine_as_test(Model, settings=LONG)


def hunt(mutant: Mutant, troubles: tuple[str, ...], how: settings) -> None:
    """Play until the promise is seen to be broken that this mutant breaks."""
    model = type("Mutated", (Model,), {"parts": mutant.parts, "always": troubles, "ends_well": mutant.late})
    with pytest.raises(AssertionError, match=mutant.broken):
        run_state_machine_as_test(model, settings=how)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """A model that cannot fail proves nothing: with this part wrong, this promise is seen to be broken."""
    hunt(mutant, mutant.troubles, HUNT)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("routes", "broken"), WRONG_ROUTES.values(), ids=WRONG_ROUTES)
def test_a_wrong_route_is_caught(routes: Routes, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every controller serves such routes: what they do with requests is seen in the messages."""
    monkeypatch.setattr("controller.core.routing.routing.routes_of", routes)
    model = type("Mutated", (Model,), {"ends_well": False})
    with pytest.raises(AssertionError, match=broken):
        run_state_machine_as_test(model, settings=HUNT)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_is_caught_by_chance(mutant: Mutant) -> None:
    """The same without a hint which faults it needs."""
    hunt(mutant, (), settings(HUNT, max_examples=5000))
