"""What `servable_view` keeps can be served together, and no service loses its place to a new one."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.model.route_rules import PathMatch
from controller.core.model.service import Listen
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.clashes import Claims, find_clashes
from controller.core.routing.route import RoutingError
from controller.core.routing.routing import route_service
from controller.core.routing.servable import servable_view
from tests.builders import service

pytestmark = pytest.mark.proves("track-record 24")

PLACES = st.fixed_dictionaries(
    {
        "listen": st.builds(
            Listen,
            address=st.sampled_from(["127.0.0.1", "127.0.0.2", "0.0.0.0"]),
            port=st.sampled_from([10000, 10001]),
        ),
        "hosts": st.sampled_from([("*",), ("x.example",), ("x.example", "y.example")]),
        "paths": st.sampled_from([(PathMatch(path=path),) for path in ("/", "/v1/")]),
        "fleets": st.sampled_from([(), ("edge",), ("core",)]),
    }
)
"""Few enough that services clash often."""
STABLE = st.sampled_from(["v1", "v2", "v1", "gone"])
"""With one that cannot be routed."""
ROWS = st.none() | st.just("not JSON") | st.tuples(PLACES, STABLE)
"""A service in a view: absent, unreadable, or its place and stable version."""
VIEWS = st.lists(st.fixed_dictionaries(dict.fromkeys("abcd", ROWS)), min_size=1, max_size=4)

Services = Mapping[str, ServiceState]


def read(rows: dict[str, Any], before: Services) -> View:
    """The view of those rows. An unchanged service is the same object as before, as in a store."""
    states, broken = {}, {}
    for name, row in rows.items():
        if isinstance(row, str):
            broken[name] = row
        elif row:
            place, stable = row
            state = ServiceState(spec=service(name=name, **place), source="", stable=stable, revision=7)
            states[name] = before[name] if before.get(name) == state else state
    return View("store", 7, states, (), broken)


def routable(state: ServiceState) -> bool:
    """Whether it can be served by itself."""
    try:
        route_service(state)
    except RoutingError:
        return False
    return True


def place(state: ServiceState) -> tuple[object, ...]:
    """What it claims."""
    return state.spec.listen, state.spec.hosts, state.spec.paths, state.spec.fleets


@given(VIEWS)
def test_nothing_clashes_and_no_service_is_displaced(steps: list[dict[str, Any]]) -> None:
    """View after view, each based on what was served before."""
    before: Services = {}
    claims = Claims()
    for rows in steps:
        view = read(rows, before)
        good, problems = servable_view(view, before)
        assert servable_view(view, before, claims) == (good, problems), "whatever the claims followed before"
        served = good.services
        assert not find_clashes(served.values())
        assert all(map(routable, served.values()))
        for name, state in view.services.items():
            assert (served.get(name) is state) != (name in problems), "served as it is, or with a problem"
            if name in before and place(before[name]) == place(state):
                assert served[name] is (state if routable(state) else before[name])
        for name in view.broken.keys() & before.keys():
            assert served[name] is before[name]
        known = {name: state for name, state in view.services.items() if name in before}
        alone, _ = servable_view(View("store", 7, known, (), view.broken), before)
        assert dict(alone.services) == {name: state for name, state in served.items() if name in before}
        before = served
