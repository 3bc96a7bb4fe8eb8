"""Routing -> Envoy's resources, serialised: the template of their kind, then what differs.

The messages of what differs are in `wire/v1/resources.proto`.
"""

from dataclasses import replace
from datetime import timedelta

from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import UInt32Value

from controller.core.base.identity_cache import by_identity
from controller.core.model.cluster_names import cluster_parts, stats_name
from controller.core.model.service import Endpoint, Listen, PathMatch
from controller.core.model.upstream import Upstream
from controller.core.routing import routing
from controller.core.routing.route import Route
from controller.pb.haldane.wire.v1 import clusters_pb2
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources import templates
from controller.xds.resources.type_urls import TYPE_URL_PREFIX

VERSION_HEADER = "x-haldane-version"
"""The response header that names the version of the response: for operators with curl, for clients' logs, for tests."""

OVERWRITE = 2
HTTP_CONNECTIONS = TYPE_URL_PREFIX + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def cluster(value: routing.Cluster) -> bytes:
    """A Cluster: addresses come by EDS; host names are inline, and the proxy resolves them.

    STRICT_DNS balances over every address that a name has, and over several names.
    """
    return _cluster(value, templates.EDS if uses_eds(value) else templates.STRICT_DNS)


def proxyless_cluster(value: routing.Cluster) -> bytes:
    """The same for gRPC, which knows host names only as LOGICAL_DNS, and only one of them, and has TLS by the
    credentials of its channel."""
    plain = value if value.upstream.tls is None else replace(value, upstream=_without_tls(value.upstream))
    return _cluster(plain, templates.EDS if uses_eds(value) else templates.LOGICAL_DNS)


def differs_for_proxyless(value: routing.Cluster) -> bool:
    """Whether gRPC needs a cluster of its own kind."""
    return value.upstream.tls is not None or not uses_eds(value)


def uses_eds(value: routing.Cluster) -> bool:
    """Whether no endpoint has a host name, so that EDS has them."""
    return _all_addresses(value.endpoints)


def load_assignment(value: routing.Cluster) -> bytes:
    """A ClusterLoadAssignment: the endpoints of a cluster by zone."""
    zones: dict[str, list[Endpoint]] = {}
    for endpoint in value.endpoints:
        zones.setdefault(endpoint.zone, []).append(endpoint)
    groups = [_locality(zone, endpoints) for zone, endpoints in zones.items()]
    return clusters_pb2.ClusterLoadAssignment(cluster_name=value.name, endpoints=groups).SerializeToString()


def _locality(zone: str, endpoints: list[Endpoint]) -> clusters_pb2.LocalityLbEndpoints:
    """The endpoints of one zone. gRPC drops those without a locality or whose locality has no weight."""
    return clusters_pb2.LocalityLbEndpoints(
        locality=clusters_pb2.Locality(zone=zone),
        lb_endpoints=map(_endpoint, endpoints),
        load_balancing_weight=UInt32Value(value=sum(endpoint.weight for endpoint in endpoints)),
    )


def _endpoint(value: Endpoint) -> clusters_pb2.LbEndpoint:
    address = pb.Address(pipe=pb.Pipe(path=value.path)) if value.path else _address(value.host, value.port)
    weight = UInt32Value(value=value.weight) if value.weight != 1 else None
    return clusters_pb2.LbEndpoint(endpoint=clusters_pb2.Endpoint(address=address), load_balancing_weight=weight)


def listener(listen: Listen) -> bytes:
    """A Listener on that address that counts how responses end; its route configuration has its name."""
    return _listener(listen, count_endings=True)


def listener_without_loggers(listen: Listen) -> bytes:
    """The same, for an Envoy that does not know the stats access logger."""
    return _listener(listen, count_endings=False)


def _listener(listen: Listen, *, count_endings: bool) -> bytes:
    name = str(listen)
    manager = http_connections(name, count_endings=count_endings)
    chain = pb.FilterChain(filters=[pb.Filter(name="http", typed_config=manager)])
    message = pb.Listener(name=name, address=_address(listen.address, listen.port), filter_chains=[chain])
    return message.SerializeToString()


def api_listener(service: str) -> bytes:
    """The Listener of `xds:///service` for proxyless gRPC clients; its route configuration has its name."""
    return pb.Listener(
        name=service, api_listener=pb.ApiListener(api_listener=http_connections(service, count_endings=False))
    ).SerializeToString()


def http_connections(name: str, *, count_endings: bool) -> Any:
    """An HttpConnectionManager whose route configuration has that name."""
    rds = templates.routes() + pb.Rds(route_config_name=name).SerializeToString()
    differs = pb.HttpConnectionManager(stat_prefix=stats_name(name), rds=rds)
    template = templates.http_connections(count_endings=count_endings)
    return Any(type_url=HTTP_CONNECTIONS, value=template + differs.SerializeToString())


def virtual_host(value: routing.VirtualHost, name: str) -> bytes:
    """A VirtualHost with its routes in the given order."""
    return pb.VirtualHost(name=name, domains=value.domains, routes=map(_route, value.routes)).SerializeToString()


def proxyless_virtual_host(value: routing.VirtualHost, name: str) -> bytes:
    """The same for gRPC, which reads a route's timeout only from `max_stream_duration`, and does not know
    prefixes of whole segments."""
    host = pb.VirtualHost(name=name, domains=value.domains, routes=map(_route, value.routes))
    for route in host.routes:
        if route.match.path_separated_prefix:
            route.match.prefix = route.match.path_separated_prefix
        if route.HasField("route"):
            route.route.max_stream_duration.max_stream_duration.CopyFrom(route.route.timeout)
    return host.SerializeToString()


def _cluster(value: routing.Cluster, discovery: clusters_pb2.Cluster.DiscoveryType) -> bytes:
    inline = b"" if discovery == templates.EDS else load_assignment(value)
    differs = clusters_pb2.Cluster(name=value.name, alt_stat_name=stats_name(value.name), load_assignment=inline)
    return templates.cluster(value.upstream, discovery) + differs.SerializeToString()


def _without_tls(upstream: Upstream) -> Upstream:
    return upstream.model_copy(update={"tls": None})


def _route(value: Route) -> pb.Route:
    route = pb.Route(name=value.service, match=_path(value.match))
    if value.fixed:
        route.direct_response.status, route.direct_response.body.inline_string = value.fixed
    else:
        # Always weighted clusters, even one: a step then changes numbers, never the structure.
        route.route.weighted_clusters.clusters.extend(_cluster_weight(name, weight) for name, weight in value.split)
        route.route.timeout.FromTimedelta(timedelta(seconds=value.options.timeout))
    return route


def _path(match: PathMatch) -> pb.RouteMatch:
    if match.exact:
        return pb.RouteMatch(path=match.path)
    if match.path.endswith("/"):
        return pb.RouteMatch(prefix=match.path)
    return pb.RouteMatch(path_separated_prefix=match.path)


def _cluster_weight(name: str, weight: int) -> pb.ClusterWeight:
    parts = cluster_parts(name)
    header = pb.HeaderValue(key=VERSION_HEADER, value=parts.version if parts else name)
    option = pb.HeaderValueOption(header=header, append_action=OVERWRITE)
    return pb.ClusterWeight(name=name, weight=UInt32Value(value=weight), response_headers_to_add=[option])


def _address(host: str, port: int) -> pb.Address:
    return pb.Address(socket_address=pb.SocketAddress(address=host, port_value=port))


@by_identity
def _all_addresses(endpoints: tuple[Endpoint, ...]) -> bool:
    """A version's endpoints stay the same object while its traffic moves: they are parsed once."""
    return all(endpoint.is_address for endpoint in endpoints)
