"""Routing -> Envoy's resources, serialised. With the wire subsets, the only place that spells Envoy.

envoy-data-plane builds and checks the messages. It takes milliseconds to serialise one, so each function here is
called once for each distinct value, and the bytes are shared by all proxies.
"""

import ipaddress
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Http2ProtocolOptions,
    Locality,
    SelfConfigSource,
    SocketAddress,
)
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy_data_plane.envoy.config.listener.v3 import ApiListener, Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteMatch,
    VirtualHost,
    WeightedCluster,
    WeightedClusterClusterWeight,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any

from controller.core import routing
from controller.core.spec import Endpoint as Server
from controller.core.spec import Listen

VERSION_HEADER = "x-haldane-version"
"""The response header that names the version which answered: for operators with curl, for clients' logs, for tests."""

CONNECT_TIMEOUT = timedelta(seconds=1)
"""A server that does not accept within a second is down. Envoy's own default is five."""

NO_BREAKER = 1_000_000_000
"""Envoy's circuit breakers cut at 1024 by default. A breaker that opens on one version alone would be read as harm by
that version, and clients would pay for it: the judge and the timeout bound a slow version instead."""

HTTP_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def stats_name(cluster: str) -> str:
    """A cluster's name in Envoy's statistics, which are cut at dots; no name of ours holds an equals sign."""
    return cluster.replace(".", "=")


def cluster(value: routing.Cluster) -> bytes:
    """A Cluster: addresses come by EDS; host names are resolved by the proxy, so they are inline.

    STRICT_DNS balances over every address that a name has, and over several names.
    """
    return _cluster(value, ClusterDiscoveryType.STRICT_DNS)


def proxyless_cluster(value: routing.Cluster) -> bytes:
    """The same for gRPC, which knows LOGICAL_DNS, of one name, instead."""
    return _cluster(value, ClusterDiscoveryType.LOGICAL_DNS)


def _cluster(value: routing.Cluster, by_name: ClusterDiscoveryType) -> bytes:
    breaker = CircuitBreakersThresholds(
        max_connections=NO_BREAKER, max_pending_requests=NO_BREAKER, max_requests=NO_BREAKER, max_retries=NO_BREAKER
    )
    made = Cluster(
        name=value.name,
        alt_stat_name=stats_name(value.name),
        connect_timeout=CONNECT_TIMEOUT,
        circuit_breakers=CircuitBreakers(thresholds=[breaker]),
        # A proxyless client reports its load to where this cluster came from; Envoy reads its bootstrap instead.
        lrs_server=ConfigSource(self=SelfConfigSource(), resource_api_version=ApiVersion.V3),
    )
    if value.protocol == "grpc":
        http2 = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
        made.typed_extension_protocol_options[HTTP_PROTOCOL] = Any.pack(HttpProtocolOptions(explicit_http_config=http2))
    if by_address(value):
        made.type = ClusterDiscoveryType.EDS
        made.eds_cluster_config = ClusterEdsClusterConfig(eds_config=_ads())
    else:
        made.type = by_name
        made.dns_lookup_family = ClusterDnsLookupFamily.V4_PREFERRED
        made.load_assignment = _assignment(value)
    return bytes(made)


def by_address(value: routing.Cluster) -> bool:
    """Whether every endpoint is an IP address, so that they are given by EDS."""
    return all(_is_address(endpoint.host) for endpoint in value.endpoints)


def assignment(value: routing.Cluster) -> bytes:
    """A ClusterLoadAssignment: the endpoints of a cluster."""
    return bytes(_assignment(value))


def listener(listen: Listen) -> bytes:
    """A Listener on that address; its route table has its name."""
    chain = FilterChain(filters=[Filter(name="http", typed_config=Any.pack(_http(str(listen))))])
    return bytes(Listener(name=str(listen), address=_address(listen.address, listen.port), filter_chains=[chain]))


def api_listener(service: str) -> bytes:
    """What a proxyless gRPC client of `xds:///service` asks for; its route table has its name."""
    return bytes(Listener(name=service, api_listener=ApiListener(api_listener=Any.pack(_http(service)))))


def virtual_host(value: routing.VirtualHost, name: str) -> bytes:
    """A VirtualHost with its routes in the given order."""
    return bytes(VirtualHost(name=name, domains=list(value.domains), routes=[_route(r) for r in value.routes]))


def proxyless_virtual_host(value: routing.VirtualHost, name: str) -> bytes:
    """The same for gRPC, which reads a route's timeout from `max_stream_duration` alone."""
    routes = [_route(r, RouteActionMaxStreamDuration(timedelta(seconds=r.timeout))) for r in value.routes]
    return bytes(VirtualHost(name=name, domains=list(value.domains), routes=routes))


def _route(value: routing.Route, limit: RouteActionMaxStreamDuration | None = None) -> Route:
    action = RouteAction(
        # Always a split, also of one: a step then changes numbers, never the shape.
        weighted_clusters=WeightedCluster(clusters=[_share(name, weight) for name, weight in value.split]),
        timeout=timedelta(seconds=value.timeout),
        max_stream_duration=limit,
    )
    return Route(name=value.service, match=RouteMatch(prefix=value.prefix), route=action)


def _share(name: str, weight: int) -> WeightedClusterClusterWeight:
    parts = routing.cluster_parts(name)
    header = HeaderValueOption(
        header=HeaderValue(key=VERSION_HEADER, value=parts[1] if parts else name),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return WeightedClusterClusterWeight(name=name, weight=weight, response_headers_to_add=[header])


def _http(name: str) -> HttpConnectionManager:
    router = HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(Router()))
    rds = Rds(route_config_name=name, config_source=_ads())
    return HttpConnectionManager(stat_prefix=stats_name(name), rds=rds, http_filters=[router])


def _assignment(value: routing.Cluster) -> ClusterLoadAssignment:
    # gRPC drops endpoints without a locality, and localities without a weight.
    group = LocalityLbEndpoints(
        locality=Locality(),
        load_balancing_weight=1,
        lb_endpoints=[LbEndpoint(endpoint=_endpoint(server)) for server in value.endpoints],
    )
    return ClusterLoadAssignment(cluster_name=value.name, endpoints=[group])


def _endpoint(server: Server) -> Endpoint:
    return Endpoint(address=_address(server.host, server.port))


def _address(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def _ads() -> ConfigSource:
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
