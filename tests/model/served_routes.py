"""What the route configurations that proxies are served do with requests: read from the messages, not from the code."""

from collections.abc import Iterable, Iterator

import pytest
from google.protobuf.any_pb2 import Any

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import ClusterId, Role, cluster_parts
from controller.core.model.service_state import ServiceState
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.resource import Resource
from tests.model.values import TESTER, VETERAN

JUDGED = {Role.LIVE, Role.SHIELDED}
"""The clusters whose requests are of the sample: those of a shielded canary are judged where they were sent first."""


@pytest.mark.proves("promise 17")
def check_routes(state: ServiceState, configurations: Iterable[Resource]) -> None:
    """Everybody is split by the weights, at random or by the user, into clusters that are judged; a rule's requests go
    to one that is not; and no version with weight gets copies."""
    routes = [route for each in configurations for route in _routes_of(state.name, each)]
    assert routes, f"{state.name} has no routes"
    everybody = _route_of(routes, set())
    _check_pin(_route_of(routes, {VETERAN}), _stable(state))
    if state.rollout and state.rollout.running:
        _check_pin(_route_of(routes, {TESTER}), _pinned_canary(state))
    else:  # there is no canary, and nothing is judged
        assert _route_of(routes, {TESTER}) == everybody, "a rule stands for a canary that is not there"
    for route in routes:
        if route.match.headers:
            roles = {_parts(share.name).role for share in route.route.weighted_clusters.clusters}
            assert roles == {Role.PINNED}, "a rule's requests are judged"
            assert not route.route.request_mirror_policies, "a pinned request is copied"
    _check_split(state, everybody.route)


def _check_pin(route: pb.Route, wanted: str) -> None:
    """Where the requests of a rule go."""
    cluster = _parts(route.route.weighted_clusters.clusters[0].name)
    assert cluster.role is Role.PINNED, "a pinned request goes where it is judged"
    assert cluster.version == wanted, f"a request pinned to {wanted} goes to {cluster.version}"


def _check_split(state: ServiceState, action: pb.RouteAction) -> None:
    """How everybody who is not pinned is split."""
    shares = [(_parts(share.name), share.weight.value) for share in action.weighted_clusters.clusters]
    assert sum(weight for _, weight in shares) == TOTAL_WEIGHT, "served weights do not total 10 000"
    assert {cluster.role for cluster, _ in shares} <= JUDGED, "a live request goes where it is not judged"
    served = [(cluster.version, weight) for cluster, weight in shares]
    wanted = [(version, weight) for version, weight in state.weights.items() if weight]
    assert sorted(served) == sorted(wanted), f"{served} are served in place of {wanted}"
    rollout = state.rollout
    canary = rollout.canary if rollout and rollout.running else ""
    shielded = {cluster.version for cluster, _ in shares if cluster.role is Role.SHIELDED}
    assert shielded == ({canary} & set(dict(served)) if state.spec.shield else set()), f"{shielded} is shielded"
    if state.spec.sticky:
        assert action.weighted_clusters.use_hash_policy.value, "a user is placed by a draw"
        assert not canary or served[0][0] == canary or len(served) == 1, "a share that rises moves users back"
    for policy in action.request_mirror_policies:
        copied = _parts(policy.cluster)
        assert copied.role is Role.MIRROR, f"copies go to {policy.cluster}, where they are judged"
        assert not state.weights.get(copied.version), "copies beside a live weight"


def _pinned_canary(state: ServiceState) -> str:
    """Where a rule `to: canary` leads during a rollout: to stable before the canary has weight, and once it has lost
    it."""
    rollout = state.rollout
    return rollout.canary if rollout and rollout.weight else _stable(state)


def _stable(state: ServiceState) -> str:
    return state.rollout.stable if state.rollout and state.rollout.running else state.stable


def _routes_of(service: str, configuration: Resource) -> Iterator[pb.Route]:
    message = pb.RouteConfiguration.FromString(Any.FromString(configuration.packed).value)
    for host in map(pb.VirtualHost.FromString, message.virtual_hosts):
        yield from (route for route in host.routes if route.name == service)


def _route_of(routes: list[pb.Route], headers: set[str]) -> pb.Route:
    """The first route for a request with these headers, each of them with the value `yes`."""
    return next(route for route in routes if {header.name for header in route.match.headers} <= headers)


def _parts(cluster: str) -> ClusterId:
    parts = cluster_parts(cluster)
    assert parts, f"{cluster} is no cluster of Haldane's"
    return parts
