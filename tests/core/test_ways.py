"""Pinned requests, users that keep their version, and shields: the routes of a service in each phase of a rollout."""

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import Role
from controller.core.model.rollout import Phase
from controller.core.model.route_rules import Condition, MatchRule, Mirror, PathMatch, Sticky
from controller.core.model.service import Fallback
from controller.core.routing.route import HashSource, cluster_ids, proxyless_routes, routes_of
from controller.core.routing.routing import route_service
from tests.builders import service, state_in

TESTER = (Condition(source="header", name="x-tester", value="yes"),)
OLD = (Condition(source="query", name="version", value="v3"),)
BACK = (Condition(source="cookie", name="lane", value="safe"),)
RULES = (
    MatchRule(conditions=TESTER, to="canary"),
    MatchRule(conditions=OLD, to="v3"),
    MatchRule(conditions=BACK, to="stable"),
)
SPEC = service(match=RULES)


def pins(phase: Phase, **fields: object) -> dict[tuple[Condition, ...], str]:
    """Where the pinned requests go in that phase."""
    given = {"spec": SPEC, **fields}
    routes = routes_of(state_in(phase, **given))
    assert routes[-1].conditions == ()  # everybody else is asked for last
    return {route.conditions: route.split[0][0] for route in routes[:-1]}


def test_rules_follow_the_rollout() -> None:
    """`canary` falls to stable at a rollback; without a rollout such requests go the way of all others."""
    for phase in (Phase.WARMING, Phase.PROGRESSING, Phase.PAUSED, Phase.BAKING):
        wanted = {TESTER: "scorer/v2/pinned", OLD: "scorer/v3/pinned", BACK: "scorer/v1/pinned"}
        assert pins(phase) == wanted, phase
    rolling_back = {TESTER: "scorer/v1/pinned", OLD: "scorer/v3/pinned", BACK: "scorer/v1/pinned"}
    assert pins(Phase.ROLLING_BACK) == rolling_back
    assert pins(Phase.IDLE) == {OLD: "scorer/v3/pinned", BACK: "scorer/v1/pinned"}
    assert pins(Phase.PROMOTED) == {OLD: "scorer/v3/pinned", BACK: "scorer/v2/pinned"}


def test_a_fallback_takes_the_pinned_requests_too() -> None:
    """When neither version can be trusted nobody is left with one."""
    spec = service(match=RULES, fallback=Fallback(version="v3"))
    assert pins(Phase.PROGRESSING, spec=spec, diverted="fire") == {}


def test_a_version_without_endpoints_pins_nobody() -> None:
    """Its requests go the way of all others, not nowhere."""
    spec = service(match=(MatchRule(conditions=TESTER, to="v4"),))
    assert pins(Phase.IDLE, spec=spec) == {}


def test_a_start_and_a_rollback_add_no_cluster() -> None:
    """Every version that may be the canary or stable has its cluster for pinned requests before."""
    clusters = cluster_ids(state_in(Phase.IDLE, spec=SPEC))
    pinned = {cluster.version for cluster in clusters if cluster.role is Role.PINNED}
    assert pinned == {"v1", "v2", "v3"}
    only = service(match=(MatchRule(conditions=OLD, to="v3"),))
    assert [c.version for c in cluster_ids(state_in(Phase.IDLE, spec=only)) if c.role is Role.PINNED] == ["v3"]
    assert {cluster.role for cluster in cluster_ids(state_in(Phase.IDLE))} == {Role.LIVE}


def test_each_path_has_the_rules() -> None:
    """In the order given, before everybody else."""
    paths = PathMatch(path="/a"), PathMatch(path="/b", exact=True)
    routes = routes_of(state_in(Phase.PROGRESSING, spec=service(match=RULES, paths=paths)))
    assert [(r.match, r.conditions) for r in routes] == [
        (path, conditions) for path in paths for conditions in (TESTER, OLD, BACK, ())
    ]


def test_users_keep_their_version_by_a_hash() -> None:
    """Only of the requests that are split. A cookie is minted where there is none, and decides from then on."""
    by_header = routes_of(state_in(Phase.PROGRESSING, spec=service(sticky=Sticky(source="header", name="x-user"))))
    assert [(r.hash_on, r.minted) for r in by_header] == [(HashSource("header", "x-user"), None)]
    cookie = Sticky(source="cookie", name="lane", ttl=60.0)
    known, new = routes_of(state_in(Phase.PROGRESSING, spec=service(sticky=cookie)))
    assert known.conditions == (Condition(source="cookie", name="lane", value=None),)
    assert (known.hash_on, known.minted) == (HashSource("cookie", "lane"), None)
    assert (new.conditions, new.hash_on, new.minted) == ((), HashSource("header", "x-request-id"), cookie)
    assert known.split == new.split == (("scorer/v2", 2500), ("scorer/v1", TOTAL_WEIGHT - 2500))
    pinned, *_ = routes_of(state_in(Phase.PROGRESSING, spec=service(sticky=cookie, match=RULES)))
    assert pinned.hash_on is None


SHIELDED = service(shield=True)


def test_a_shielded_canary_has_a_second_way() -> None:
    """Only while it is one; stable has none, nor has the fallback."""
    for phase in (Phase.WARMING, Phase.PROGRESSING, Phase.BAKING):
        (route,) = routes_of(state_in(phase, spec=SHIELDED))
        assert [name for name, _ in route.split] == ["scorer/v2/shielded", "scorer/v1"], phase
        assert route.options.shield
    for phase, stable in ((Phase.IDLE, "v1"), (Phase.ROLLING_BACK, "v1"), (Phase.PROMOTED, "v2")):
        (route,) = routes_of(state_in(phase, spec=SHIELDED))
        assert route.split == ((f"scorer/{stable}", TOTAL_WEIGHT),), phase
    spec = service(shield=True, fallback=Fallback(version="v2"))
    (route,) = routes_of(state_in(Phase.PROGRESSING, spec=spec, diverted="fire"))
    assert route.split == (("scorer/v2", TOTAL_WEIGHT),)


def test_the_clusters_of_a_shield_are_there_before_the_rollout() -> None:
    """A way through each version that is not stable, to stable; after a promotion the other way round."""
    for phase, stable in ((Phase.IDLE, "v1"), (Phase.PROGRESSING, "v1"), (Phase.BAKING, "v1"), (Phase.PROMOTED, "v2")):
        clusters = {c.name: c for c in route_service(state_in(phase, spec=SHIELDED)).clusters}
        ways = {name: c.members for name, c in clusters.items() if c.members}
        others = [version for version in ("v1", "v2", "v3") if version != stable]
        assert ways == {f"scorer/{v}/shielded": (f"scorer/{v}", f"scorer/{stable}/shield") for v in others}, phase
        assert clusters[f"scorer/{stable}/shield"].endpoints == clusters[f"scorer/{stable}"].endpoints


def test_proxyless_clients_have_what_they_know() -> None:
    """The canary's own cluster, and rules on headers alone."""
    spec = service(shield=True, match=RULES)
    routes = proxyless_routes(routes_of(state_in(Phase.PROGRESSING, spec=spec)))
    assert [route.conditions for route in routes] == [TESTER, ()]
    assert routes[-1].split == (("scorer/v2", 2500), ("scorer/v1", 7500))


def test_a_version_gets_copies_until_it_has_weight() -> None:
    """And again once it has none; not while the fallback has the traffic."""
    spec = service(mirror=Mirror(to="v2", share=1000))
    copied = ("scorer/v2/mirror", 1000)
    for phase, expected in ((Phase.IDLE, copied), (Phase.PROGRESSING, None), (Phase.ROLLED_BACK, copied)):
        (route,) = routes_of(state_in(phase, spec=spec))
        assert route.mirror == expected, phase
    spec = service(mirror=Mirror(to="v2", share=1000), fallback=Fallback(version="v3"))
    (route,) = routes_of(state_in(Phase.IDLE, spec=spec, diverted="fire"))
    assert route.mirror is None
    clusters = {cluster.name: cluster for cluster in route_service(state_in(Phase.PROGRESSING, spec=spec)).clusters}
    assert clusters["scorer/v2/mirror"].upstream.limits.requests == 100
