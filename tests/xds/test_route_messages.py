"""Envoy's routes: what is put together from templates is what envoy-data-plane would have written whole."""

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    RetryPolicy,
    RetryPolicyRetryHostPredicate,
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteActionUpgradeConfig,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
    WeightedClusterClusterWeight,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.google.protobuf import Any

from controller.core.model.route_rules import PathMatch, RequestHeaders, Retries
from controller.core.routing import routing
from controller.core.routing.route import Route as ServiceRoute
from controller.core.routing.route import RouteOptions, StreamTimes
from controller.xds.resources import route_messages
from controller.xds.resources.resource import EncodedVirtualHost, make_route_configuration
from controller.xds.resources.type_urls import RDS

pytestmark = pytest.mark.proves("xds-rule 32")

NOT_SENT = "connect-failure,refused-stream,reset-before-request"
SPLIT = (("fraud/v2.1", 500), ("fraud/v1", 9500))
NO_RETRY = Retries(attempts=0)
OVERWRITE = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


def share(name: str, weight: int, version: str) -> WeightedClusterClusterWeight:
    """A share of the traffic as envoy-data-plane writes it."""
    header = HeaderValueOption(header=HeaderValue(key="x-haldane-version", value=version), append_action=OVERWRITE)
    return WeightedClusterClusterWeight(name=name, weight=weight, response_headers_to_add=[header])


WEIGHTED = WeightedCluster(clusters=[share("fraud/v2.1", 500, "v2.1"), share("fraud/v1", 9500, "v1")])


def host(options: RouteOptions, *paths: PathMatch) -> routing.VirtualHost:
    """A virtual host with a route to both versions for each of the paths."""
    routes = tuple(ServiceRoute("fraud", path, options, SPLIT) for path in paths or (PathMatch(path="/v2/"),))
    return routing.VirtualHost(("a.example", "b.example"), routes)


def made(options: RouteOptions, *, proxyless: bool = False) -> Route:
    """The route of these options."""
    make = route_messages.proxyless_virtual_host if proxyless else route_messages.virtual_host
    (route,) = VirtualHost.parse(make(host(options), "fraud")).routes
    return route


@pytest.mark.parametrize("proxyless", [False, True])
def test_a_weighted_route_has_the_canary_first_and_the_version_header(proxyless: bool) -> None:
    """Weights in basis points, in their order; gRPC reads the timeout in another place."""
    options = RouteOptions(timeout=2.5, retry=NO_RETRY)
    make = route_messages.proxyless_virtual_host if proxyless else route_messages.virtual_host
    timeout = timedelta(seconds=2.5)
    action = RouteAction(weighted_clusters=WEIGHTED, timeout=timeout)
    if proxyless:
        limit = RouteActionMaxStreamDuration(max_stream_duration=timeout)
        action = RouteAction(weighted_clusters=WEIGHTED, max_stream_duration=limit)
    route = Route(name="fraud", match=RouteMatch(prefix="/v2/"), route=action)
    assert VirtualHost.parse(make(host(options), "fraud")) == VirtualHost(
        name="fraud", domains=["a.example", "b.example"], routes=[route]
    )


def test_what_never_reached_a_server_is_tried_again_elsewhere() -> None:
    """On another endpoint of the same version: no cluster is drawn again."""
    predicate = RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=Any.pack(PreviousHostsPredicate())
    )
    alone = made(RouteOptions(timeout=1.0, retry=Retries(attempts=2))).route
    assert alone
    assert alone.retry_policy == RetryPolicy(retry_on=NOT_SENT, num_retries=2)
    action = made(RouteOptions(timeout=1.0, retry=Retries(attempts=2), several_endpoints=True)).route
    assert action
    assert action.retry_policy == RetryPolicy(
        retry_on=NOT_SENT,
        num_retries=2,
        retry_host_predicate=[predicate],
        host_selection_retry_max_attempts=20,
    )


def test_the_timeout_of_a_stream_ends_with_its_headers() -> None:
    """Envoy's timeout of a try does. What follows is bounded by silence, and by the whole if that is asked for."""
    action = made(RouteOptions(timeout=2.0, stream=StreamTimes(60.0, 600.0), retry=NO_RETRY)).route
    assert action == RouteAction(
        weighted_clusters=WEIGHTED,
        timeout=timedelta(0),
        idle_timeout=timedelta(seconds=60),
        max_stream_duration=RouteActionMaxStreamDuration(max_stream_duration=timedelta(seconds=600)),
        retry_policy=RetryPolicy(per_try_timeout=timedelta(seconds=2)),
    )
    for options, limit in ((StreamTimes(60.0, 600.0), 600), (StreamTimes(60.0), 0)):
        action = made(RouteOptions(timeout=2.0, stream=options), proxyless=True).route
        assert action
        assert action.max_stream_duration == RouteActionMaxStreamDuration(max_stream_duration=timedelta(seconds=limit))


@pytest.mark.parametrize(("timeout", "idle"), [(5.0, None), (290.0, None), (600.0, timedelta(seconds=605))])
def test_nothing_but_its_timeout_ends_a_response(timeout: float, idle: timedelta | None) -> None:
    """Envoy ends a silent stream after five minutes, unless the route allows more."""
    action = made(RouteOptions(timeout=timeout)).route
    assert action
    assert (action.timeout, action.idle_timeout) == (timedelta(seconds=timeout), idle)


def test_upgrades_and_headers() -> None:
    """A percent sign in a header's value is one, and no format command of Envoy's."""
    headers = RequestHeaders(add=(("x-a", "100%"),), remove=("x-b",))
    options = RouteOptions(1.0, upgrades=("websocket",), request_headers=headers, version_header=False)
    route = made(options)
    assert route.route
    assert route.route.upgrade_configs == [RouteActionUpgradeConfig(upgrade_type="websocket")]
    added = HeaderValueOption(header=HeaderValue(key="x-a", value="100%%"), append_action=OVERWRITE)
    assert (route.request_headers_to_add, route.request_headers_to_remove) == ([added], ["x-b"])
    assert route.route.weighted_clusters
    assert [each.response_headers_to_add for each in route.route.weighted_clusters.clusters] == [[], []]


def test_a_prefix_matches_whole_segments() -> None:
    """Unless it ends with a slash; gRPC knows plain prefixes only. An exact path is itself."""
    paths = PathMatch(path="/v1"), PathMatch(path="/v1/"), PathMatch(path="/v1", exact=True)
    value = host(RouteOptions(timeout=1.0), *paths)
    matches = [route.match for route in VirtualHost.parse(route_messages.virtual_host(value, "fraud")).routes]
    assert matches == [RouteMatch(path_separated_prefix="/v1"), RouteMatch(prefix="/v1/"), RouteMatch(path="/v1")]
    matches = [route.match for route in VirtualHost.parse(route_messages.proxyless_virtual_host(value, "fraud")).routes]
    assert matches == [RouteMatch(prefix="/v1"), RouteMatch(prefix="/v1/"), RouteMatch(path="/v1")]


def test_a_fixed_response_needs_no_cluster() -> None:
    """The declared fallback that the proxies give by themselves."""
    fixed = ServiceRoute("fraud", PathMatch(path="/"), RouteOptions(timeout=5.0), (), (503, "later"))
    route = Route(
        name="fraud",
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(status=503, body=DataSource(inline_string="later")),
    )
    for make in (route_messages.virtual_host, route_messages.proxyless_virtual_host):
        assert VirtualHost.parse(make(routing.VirtualHost(("*",), (fixed,)), "fraud")).routes == [route]


def test_a_route_configuration_is_its_virtual_hosts_in_order() -> None:
    """Encoded before and joined: a step encodes one of them again."""
    bodies = [bytes(VirtualHost(name=name, domains=[name])) for name in ("a", "b")]
    parts = [EncodedVirtualHost(n, n, body, frozenset((n,)), frozenset()) for n, body in zip("ab", bodies, strict=True)]
    table = make_route_configuration("127.0.0.1:1", parts, "store", 7)
    packed = Any.parse(table.packed)
    assert packed.type_url == RDS
    assert RouteConfiguration.parse(packed.value) == RouteConfiguration(
        name="127.0.0.1:1", virtual_hosts=[VirtualHost.parse(body) for body in bodies]
    )
