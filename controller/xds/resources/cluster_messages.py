"""Routing -> Envoy's resources, serialised: the template of their kind, then what differs.

The messages of what differs are in `wire/v1/resources.proto`.
"""

from dataclasses import replace

from google.protobuf.wrappers_pb2 import UInt32Value

from controller.core.base.identity_cache import by_identity
from controller.core.model.cluster_names import stats_name
from controller.core.model.service import Endpoint
from controller.core.model.upstream import Upstream
from controller.core.routing import routing
from controller.pb.haldane.wire.v1 import clusters_pb2
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources import cluster_templates
from controller.xds.resources.type_urls import TYPE_URL_PREFIX

VERSION_HEADER = "x-haldane-version"
"""The response header that names the version of the response: for operators with curl, for clients' logs, for tests."""

OVERWRITE = 2
HTTP_CONNECTIONS = TYPE_URL_PREFIX + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def cluster(value: routing.Cluster) -> bytes:
    """A Cluster: addresses come by EDS; host names are inline, and the proxy resolves them.

    STRICT_DNS balances over every address that a name has, and over several names.
    """
    return _cluster(value, cluster_templates.EDS if uses_eds(value) else cluster_templates.STRICT_DNS)


def proxyless_cluster(value: routing.Cluster) -> bytes:
    """The same for gRPC, which knows host names only as LOGICAL_DNS, and only one of them, and has TLS by the
    credentials of its channel."""
    plain = value if value.upstream.tls is None else replace(value, upstream=_without_tls(value.upstream))
    return _cluster(plain, cluster_templates.EDS if uses_eds(value) else cluster_templates.LOGICAL_DNS)


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


def _cluster(value: routing.Cluster, discovery: clusters_pb2.Cluster.DiscoveryType) -> bytes:
    inline = b"" if discovery == cluster_templates.EDS else load_assignment(value)
    differs = clusters_pb2.Cluster(name=value.name, alt_stat_name=stats_name(value.name), load_assignment=inline)
    return cluster_templates.cluster(value.upstream, discovery) + differs.SerializeToString()


def _without_tls(upstream: Upstream) -> Upstream:
    return upstream.model_copy(update={"tls": None})


def _address(host: str, port: int) -> pb.Address:
    return pb.Address(socket_address=pb.SocketAddress(address=host, port_value=port))


@by_identity
def _all_addresses(endpoints: tuple[Endpoint, ...]) -> bool:
    """A version's endpoints stay the same object while its traffic moves: they are parsed once."""
    return all(endpoint.is_address for endpoint in endpoints)
