"""Which change of a view takes traffic away from harm, and is pushed before everything else."""

from typing import Any

import pytest

from controller.core.model.service import Fallback
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View, has_same_services, retreats
from tests.xds.views import service

FALLBACK = Fallback(version="v1")


def at(weight: int | None, **updates: Any) -> ServiceState:
    """A service whose canary has that weight; None: without a rollout."""
    state = service(canary=("v2", weight) if weight is not None else None, fallback=FALLBACK)
    return state.model_copy(update=updates)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (at(2000), at(0), True),
        (at(2000), at(None), True),
        (at(2000), at(500), True),
        (at(500), at(2000), False),
        (at(10_000), at(None, stable="v2"), False),
        (at(2000), at(2000), False),
        (at(None), at(0), False),
        (at(None), at(None, diverted="bad"), True),
        (at(None, diverted="bad"), at(None), False),
        (at(None, diverted="bad"), at(None, diverted="worse"), False),
        (None, at(500), False),
        (at(2000), None, False),
    ],
)
def test_a_retreat(before: ServiceState | None, after: ServiceState | None, expected: bool) -> None:
    """A canary that loses weight, and a stable that is left for the fallback; nothing else does."""
    other = service("other", canary=("v2", 500))
    views = [
        View("s", n, {"other": other, **({"fraud": each} if each else {})}) for n, each in enumerate((before, after))
    ]
    assert retreats(*views) is expected


def test_the_same_services_are_the_same_values() -> None:
    """Nothing is compared but which objects they are: an equal one may be another's."""
    one, two = service("a"), service("b")
    before = View("store", 1, {"a": one, "b": two})
    assert has_same_services(before, View("store", 2, {"a": one, "b": two}))
    for services in (
        {"a": one},
        {"a": one, "b": two, "c": one},
        {"a": one, "b": service("b")},
        {"a": one, "c": two},
        {},
    ):
        assert not has_same_services(before, View("store", 2, services))
