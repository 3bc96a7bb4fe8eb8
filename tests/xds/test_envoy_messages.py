"""Envoy's resources: what is put together from pieces is what envoy-data-plane would have written whole."""

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
    HeaderFilter,
    OrFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SocketAddress,
)
from envoy_data_plane.envoy.config.listener.v3 import ApiListener, Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
    WeightedClusterClusterWeight,
)
from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import Config, ConfigCounter, ConfigStat, ConfigTag
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import Scope
from envoy_data_plane.google.protobuf import Any

from controller.core.model.service import Listen, PathMatch
from controller.core.routing import routing
from controller.core.routing.route import Route as ServiceRoute
from controller.core.routing.route import RouteOptions
from controller.xds.resources import envoy_messages
from controller.xds.resources.resource import EncodedVirtualHost, make_route_configuration
from controller.xds.resources.type_urls import RDS

pytestmark = pytest.mark.proves("xds-rule 32")

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
SPLIT = (("fraud/v2.1", 500), ("fraud/v1", 9500))


def http(name: str, stats: str = "") -> Any:
    """An HttpConnectionManager as ours is put together."""
    router = HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(Router()))
    rds = Rds(route_config_name=name, config_source=ADS)
    whole = HttpConnectionManager(stat_prefix=stats or name, rds=rds, http_filters=[router])
    made = envoy_messages.http_connections(name, count_endings=False)
    assert HttpConnectionManager.parse(made.value) == whole
    return Any.parse(made.SerializeToString())


def test_a_listener_requests_the_route_configuration_of_its_name() -> None:
    """For proxies named after its address, for proxyless clients after the service."""
    made = Listener.parse(envoy_messages.listener_without_loggers(Listen(address="::1", port=10000)))
    address = Address(socket_address=SocketAddress(address="::1", port_value=10000))
    assert (made.name, made.address) == ("[::1]:10000", address)
    assert made.filter_chains == [FilterChain(filters=[Filter(name="http", typed_config=http("[::1]:10000"))])]
    api = Listener.parse(envoy_messages.api_listener("fraud.eu"))
    assert api == Listener(name="fraud.eu", api_listener=ApiListener(api_listener=http("fraud.eu", "fraud=eu")))


def counter_of(name: str) -> Config:
    """A stats access logger's configuration, with one counter, as envoy-data-plane writes it."""
    tags = [
        ConfigTag(name="cluster", value_format="%UPSTREAM_CLUSTER%"),
        ConfigTag(name="flags", value_format="%RESPONSE_FLAGS%"),
    ]
    counter = ConfigCounter(stat=ConfigStat(name=name, tags=tags), value_fixed=1)
    return Config(stats_scope=Scope(prefix="haldane", max_counters=10_000), counters=[counter])


def parsed(logger: AccessLog) -> tuple[str, AccessLogFilter | None, Config]:
    """The name of a stats access logger, what it counts, and how."""
    assert logger.typed_config
    assert logger.typed_config.type_url == "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"
    return logger.name, logger.filter, Config.parse(logger.typed_config.value)


def every(*filters: AccessLogFilter) -> AccessLogFilter:
    """All of them."""
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def either(*filters: AccessLogFilter) -> AccessLogFilter:
    """One of them."""
    return AccessLogFilter(or_filter=OrFilter(filters=list(filters)))


def flagged(*flags: str) -> AccessLogFilter:
    """One of these response flags."""
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def code(op: ComparisonFilterOp, status: int) -> AccessLogFilter:
    """The status of the response."""
    value = RuntimeUInt32(default_value=status, runtime_key="haldane.none")
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=op, value=value)))


def grpc(wanted: bool) -> AccessLogFilter:
    """A call of gRPC, or anything else."""
    matcher = HeaderMatcher(
        name="content-type",
        string_match=StringMatcher(safe_regex=RegexMatcher(regex=r"application/grpc(\+.*)?")),
        invert_match=not wanted,
        treat_missing_header_as_empty=True,
    )
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def test_a_proxys_listener_counts_how_responses_end() -> None:
    """Bad ends after the headers that LRS counts as successes; and those that it does not count."""
    gone, broken = ("DC", "DR", "DPE"), ("UPE", "UR", "UC", "LR", "UT", "UMSDR", "DT", "SI", "OM")
    answered = every(code(ComparisonFilterOp.GE, 200), code(ComparisonFilterOp.LE, 399))
    no_status = AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=[GrpcStatusFilterStatus.UNKNOWN]))
    unreported = either(
        every(flagged(*gone), either(code(ComparisonFilterOp.EQ, 0), grpc(True))),
        every(flagged("SI"), either(code(ComparisonFilterOp.EQ, 504), grpc(True))),
        every(flagged("UT", "UMSDR", "DT"), grpc(True), no_status),
    )
    made = HttpConnectionManager.parse(envoy_messages.http_connections("x", count_endings=True).value)
    stats = "envoy.access_loggers.stats"
    assert [parsed(each) for each in made.access_log] == [
        (stats, every(flagged(*broken, *gone), answered, grpc(False)), counter_of("reported_ok")),
        (stats, unreported, counter_of("unreported")),
    ]


def share(name: str, weight: int, version: str) -> WeightedClusterClusterWeight:
    """A share of the traffic as envoy-data-plane writes it."""
    header = HeaderValueOption(
        header=HeaderValue(key="x-haldane-version", value=version),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return WeightedClusterClusterWeight(name=name, weight=weight, response_headers_to_add=[header])


@pytest.mark.parametrize("proxyless", [False, True])
def test_a_weighted_route_has_the_canary_first_and_the_version_header(proxyless: bool) -> None:
    """Weights in basis points, in their order, without retries; gRPC reads the timeout in another place."""
    host = routing.VirtualHost(
        ("a.example", "b.example"), (ServiceRoute("fraud", PathMatch(path="/v2/"), RouteOptions(timeout=2.5), SPLIT),)
    )
    make = envoy_messages.proxyless_virtual_host if proxyless else envoy_messages.virtual_host
    timeout = timedelta(seconds=2.5)
    action = RouteAction(
        weighted_clusters=WeightedCluster(clusters=[share("fraud/v2.1", 500, "v2.1"), share("fraud/v1", 9500, "v1")]),
        timeout=timeout,
        max_stream_duration=RouteActionMaxStreamDuration(max_stream_duration=timeout) if proxyless else None,
    )
    route = Route(name="fraud", match=RouteMatch(prefix="/v2/"), route=action)
    assert VirtualHost.parse(make(host, "fraud")) == VirtualHost(
        name="fraud", domains=["a.example", "b.example"], routes=[route]
    )


def test_a_prefix_matches_whole_segments() -> None:
    """Unless it ends with a slash; gRPC knows plain prefixes only. An exact path is itself."""
    paths = PathMatch(path="/v1"), PathMatch(path="/v1/"), PathMatch(path="/v1", exact=True)
    routes = tuple(ServiceRoute("fraud", path, RouteOptions(timeout=1.0), SPLIT) for path in paths)
    host = routing.VirtualHost(("*",), routes)
    matches = [route.match for route in VirtualHost.parse(envoy_messages.virtual_host(host, "fraud")).routes]
    assert matches == [RouteMatch(path_separated_prefix="/v1"), RouteMatch(prefix="/v1/"), RouteMatch(path="/v1")]
    matches = [route.match for route in VirtualHost.parse(envoy_messages.proxyless_virtual_host(host, "fraud")).routes]
    assert matches == [RouteMatch(prefix="/v1"), RouteMatch(prefix="/v1/"), RouteMatch(path="/v1")]


def test_a_fixed_response_needs_no_cluster() -> None:
    """The declared fallback that the proxies give by themselves."""
    host = routing.VirtualHost(
        ("*",), (ServiceRoute("fraud", PathMatch(path="/"), RouteOptions(timeout=5.0), (), (503, "later")),)
    )
    route = Route(
        name="fraud",
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(status=503, body=DataSource(inline_string="later")),
    )
    for make in (envoy_messages.virtual_host, envoy_messages.proxyless_virtual_host):
        assert VirtualHost.parse(make(host, "fraud")).routes == [route]


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
