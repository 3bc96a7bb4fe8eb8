"""View -> routing: only a valid one can be built, and one bad service does not take the others down."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import ClusterId, Role, cluster_name, cluster_parts, stats_name
from controller.core.model.rollout import Phase
from controller.core.model.route_rules import Condition, MatchRule, Mirror, PathMatch
from controller.core.model.service import Fallback, Listen, Version
from controller.core.model.service_state import ServiceState
from controller.core.model.view import View
from controller.core.routing.clashes import find_clashes
from controller.core.routing.route import Route, RouteOptions, RoutingError
from controller.core.routing.routing import Routing, join_services, route_service
from controller.core.routing.servable import servable_view
from tests.builders import rollout_in, service, state_in

pytestmark = pytest.mark.proves("xds-rule 32")


def view(*states: ServiceState, broken: dict[str, str] | None = None) -> View:
    """A view of these services."""
    return View("store", 7, {state.name: state for state in states}, (), broken or {})


def declared(name: str, *, port: int = 10000, **fields: Any) -> ServiceState:
    """A service without a rollout."""
    address = fields.pop("address", "127.0.0.1")
    spec = service(**{"name": name, "listen": Listen(address=address, port=port), **fields})
    return ServiceState(spec=spec, source="", stable="v1", revision=7)


def route_fleet(view: View, fleet: str) -> Routing:
    """The routing of that fleet. RoutingError if two services clash or one cannot be routed."""
    states = [state for state in view.services.values() if state.spec.in_fleet(fleet)]
    if problems := find_clashes(states):
        raise RoutingError("; ".join(problems))
    return join_services(view.revision, {state.name: route_service(state) for state in states})


def routes(state: ServiceState) -> Route:
    """The one route of a view of that service alone."""
    ((only,),) = [
        [r for h in each.hosts for r in h.routes] for each in route_fleet(view(state), "edge").configurations.values()
    ]
    return only


SPLITS = [
    (Phase.IDLE, (("scorer/v1", TOTAL_WEIGHT),)),
    (Phase.WARMING, (("scorer/v2", 500), ("scorer/v1", 9500))),
    (Phase.PROGRESSING, (("scorer/v2", 2500), ("scorer/v1", 7500))),
    (Phase.PAUSED, (("scorer/v2", 2500), ("scorer/v1", 7500))),
    (Phase.AWAITING_APPROVAL, (("scorer/v2", 2500), ("scorer/v1", 7500))),
    (Phase.PROMOTING, (("scorer/v2", 9500), ("scorer/v1", 500))),
    (Phase.BAKING, (("scorer/v2", 9500), ("scorer/v1", 500))),
    (Phase.PROMOTED, (("scorer/v2", TOTAL_WEIGHT),)),
    (Phase.ROLLING_BACK, (("scorer/v1", TOTAL_WEIGHT),)),
    (Phase.ROLLED_BACK, (("scorer/v1", TOTAL_WEIGHT),)),
]


@pytest.mark.parametrize(("phase", "split"), SPLITS, ids=[p for p, _ in SPLITS])
def test_the_split_in_every_phase(phase: Phase, split: tuple[tuple[str, int], ...]) -> None:
    """The canary first, a total of ten thousand, and no cluster with zero."""
    assert routes(state_in(phase)).split == split


def test_every_version_with_endpoints_always_has_its_cluster() -> None:
    """A start, a step and a rollback therefore change routes only."""
    for phase in Phase:
        clusters = [c.name for c in route_fleet(view(state_in(phase)), "edge").clusters]
        assert clusters == ["scorer/v1", "scorer/v2", "scorer/v3"]


@pytest.mark.proves("xds-rule 50")
@given(st.integers(0, TOTAL_WEIGHT))
def test_any_weight_gives_a_split_of_ten_thousand(weight: int) -> None:
    """To versions that exist, each with a weight above zero."""
    rollout = rollout_in(Phase.PROGRESSING).model_copy(update={"weight": weight})
    split = routes(state_in(Phase.PROGRESSING, rollout=rollout)).split
    assert sum(weight for _, weight in split) == TOTAL_WEIGHT
    assert all(weight > 0 for _, weight in split)


@pytest.mark.proves("xds-rule 50")
@pytest.mark.parametrize(
    "split",
    [
        (),
        (("a/v1", 9999),),
        (("a/v1", 10_001),),
        (("a/v1", TOTAL_WEIGHT), ("a/v2", 0)),
        (("a/v1", 10_500), ("a/v2", -500)),
    ],
)
def test_an_invalid_split_cannot_be_built(split: tuple[tuple[str, int], ...]) -> None:
    """Too little, too much, zero, negative."""
    with pytest.raises(RoutingError, match="are not positive parts of 10000"):
        Route("a", PathMatch(path="/"), RouteOptions(timeout=5.0), split)


@pytest.mark.proves("xds-rule 49")
def test_no_traffic_for_a_version_without_endpoints() -> None:
    """Such a view is not served."""
    rollout = rollout_in(Phase.PROGRESSING).model_copy(update={"canary": "v4"})
    with pytest.raises(RoutingError, match="v4 carries traffic but has no endpoints"):
        route_fleet(view(state_in(Phase.PROGRESSING, rollout=rollout)), "edge")


def test_the_fallback_takes_everything() -> None:
    """A version like any other; a fixed response is sent by Envoy."""
    by_version = state_in(Phase.PROGRESSING, diverted="fire", spec=service(fallback=Fallback(version="v3")))
    assert routes(by_version).split == (("scorer/v3", TOTAL_WEIGHT),)
    fixed = state_in(Phase.PROGRESSING, diverted="fire", spec=service(fallback=Fallback(status=503, body="later")))
    assert (routes(fixed).split, routes(fixed).fixed) == ((), (503, "later"))


def test_the_fallback_takes_pinned_requests_too_and_copies_none() -> None:
    """Nothing goes to the versions that it stands in for, whoever asks."""
    asked: dict[str, Any] = {
        "match": (MatchRule(conditions=(Condition(source="header", name="x-tester", value="yes"),), to="canary"),),
        "mirror": Mirror(to="v2", share=TOTAL_WEIGHT),
        "shield": True,
    }
    spec = service(fallback=Fallback(version="v3"), **asked)
    route = routes(state_in(Phase.PROGRESSING, diverted="fire", spec=spec))
    assert (route.split, route.mirror, route.conditions) == ((("scorer/v3", TOTAL_WEIGHT),), None, ())


def test_a_fleet_gets_only_its_own_services() -> None:
    """A service that names no fleet belongs to every fleet."""
    of_all, edges, others = (
        declared("a"),
        declared("b", port=1, fleets=("edge",)),
        declared("c", port=2, fleets=("x",)),
    )
    assert list(route_fleet(view(of_all, edges, others), "edge").services) == ["a", "b"]


def test_services_on_one_address_share_its_listener() -> None:
    """By hosts and prefixes: one virtual host for each set of hosts, the longest prefix first."""
    states = [
        declared("a", hosts=("a.example",)),
        declared("b", hosts=("b.example", "c.example"), paths=(PathMatch(path="/v2/"),)),
        declared("c", hosts=("b.example", "c.example"), paths=(PathMatch(path="/v2/models/"),)),
        declared("d", port=10001),
    ]
    first, second = route_fleet(view(*reversed(states)), "edge").configurations.values()
    assert (first.name, second.name) == ("127.0.0.1:10000", "127.0.0.1:10001")
    found = [(host.domains, [r.service for r in host.routes]) for host in first.hosts]
    assert found == [(("a.example",), ["a"]), (("b.example", "c.example"), ["c", "b"])]


PATHS = (PathMatch(path="/a"), PathMatch(path="/b"))
MANAGED = Listen(port=10000, http_connection_manager="{}")
OWN_CLUSTER = {"own_clusters": True, "versions": (Version(name="v1", cluster="model"),)}
OWN = {"listen": None, "route_config": "mine"}
CLASHES = [
    ("the same place", {}, {}, "a and b both claim */ on 127.0.0.1:10000"),
    ("another port", {}, {"port": 1}, ""),
    ("another prefix", {}, {"paths": (PathMatch(path="/b"),)}, ""),
    ("the path itself", {"paths": (PathMatch(path="/b", exact=True),)}, {"paths": (PathMatch(path="/b"),)}, ""),
    ("one path in common", {"paths": PATHS}, {"paths": PATHS[:1]}, "both claim */a on"),
    ("another host", {"hosts": ("x.example",)}, {"hosts": ("y.example",)}, ""),
    ("one host in common", {"hosts": ("x", "y")}, {"hosts": ("y", "z")}, "both claim y/"),
    ("fleets apart", {"fleets": ("one",)}, {"fleets": ("two",)}, ""),
    ("fleets that meet", {"fleets": ("one", "two")}, {"fleets": ("two",)}, "both claim"),
    ("a fleet and every fleet", {"fleets": ("one",)}, {}, "both claim"),
    ("every address", {"address": "0.0.0.0"}, {"paths": (PathMatch(path="/b"),)}, "cannot both be bound"),
    ("two addresses", {"address": "127.0.0.2"}, {}, ""),
    ("one own cluster", OWN_CLUSTER | {"fleets": ("x",)}, OWN_CLUSTER | {"port": 2}, "both have the cluster model"),
    ("Envoy's own fields", {"listen": MANAGED}, {"paths": PATHS}, "listen, and in envoy.http_connection_manager"),
    ("one own listener", OWN, OWN, "a and b both claim */ on mine"),
    ("one own listener, two hosts", OWN | {"hosts": ("x",)}, OWN | {"hosts": ("y",)}, ""),
    ("two own listeners", OWN, OWN | {"route_config": "other"}, ""),
    ("an own listener and every address", OWN, {"address": "0.0.0.0"}, ""),
]


@pytest.mark.proves("bad-input 25")
@pytest.mark.parametrize(("one", "other", "expected"), [c[1:] for c in CLASHES], ids=[c[0] for c in CLASHES])
def test_two_services_that_claim_the_same_place(one: dict[str, Any], other: dict[str, Any], expected: str) -> None:
    """Are distinguished or rejected, in any order."""
    states = [declared("a", **one), declared("b", **other)]
    found = find_clashes(states)
    assert found == find_clashes(reversed(states))
    assert expected in found[0] if expected else found == []


class TestServableView:
    """What is served if a part of the view cannot be."""

    def test_a_new_service_that_clashes_is_left_out(self) -> None:
        """The earlier service stays, whatever the names."""
        present, late = declared("b"), declared("a")
        good, problems = servable_view(view(present, late), {"b": present})
        assert set(good.services) == {"b"}
        assert set(problems) == {"a"}

    def test_a_service_that_became_invalid_is_served_as_before(self) -> None:
        """Its problem is reported, and the others are served as they are."""
        before = state_in(Phase.PROGRESSING)
        wrong = before.model_copy(update={"spec": before.spec.model_copy(update={"versions": ()})})
        good, problems = servable_view(view(wrong, declared("other", port=1)), {"scorer": before})
        assert good.services["scorer"] == before
        assert "other" in good.services
        assert "no endpoints" in problems["scorer"]

    def test_an_unreadable_record_is_served_as_before(self) -> None:
        """If it was served before, else it is left out; it is reported in both cases."""
        before = declared("scorer")
        good, problems = servable_view(view(broken={"scorer": "not JSON", "new": "not JSON"}), {"scorer": before})
        assert dict(good.services) == {"scorer": before}
        assert set(problems) == {"scorer", "new"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/v1", ("a", "v1", Role.LIVE)),
        ("a.b/v-1", ("a.b", "v-1", Role.LIVE)),
        ("a/v1/mirror", ("a", "v1", Role.MIRROR)),
        *((name, None) for name in ("a", "/v1", "a/", "", "a/v1/", "a/v1/live", "a/v1/other", "a/v1/mirror/x")),
    ],
)
def test_a_cluster_name_is_parsed(name: str, parts: ClusterId | None) -> None:
    """Other names give None; every name that is made is parsed to what it was made of."""
    assert cluster_parts(name) == parts
    assert parts is None or cluster_name(*parts) == name


def test_names_in_statistics_have_no_dots() -> None:
    """Envoy splits at dots. Their replacement occurs in no name, so it can be reversed."""
    assert stats_name("a.b/v1.2") == "a=b/v1=2"
