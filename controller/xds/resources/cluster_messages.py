"""Routing -> Envoy's resources, serialised: the template of their kind, then what differs.

The messages of what differs are in `wire/v1/resources.proto`.
"""

from dataclasses import replace

from google.protobuf.wrappers_pb2 import UInt32Value

from controller.core.model.cluster_names import stats_name
from controller.core.model.envoy_fields import EnvoyMessage
from controller.core.model.service import Endpoint, all_addresses
from controller.core.model.upstream import Upstream
from controller.core.routing import routing
from controller.pb.haldane.wire.v1 import clusters_pb2
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources import cluster_templates
from controller.xds.resources.message_parts import any_of

METADATA = "haldane"
"""The key of what an endpoint says of itself, where that is needed: its version."""
COMPOSITE = "envoy.extensions.clusters.composite.v3.ClusterConfig"
RETRY_BUDGET = 100.0
"""Percent of the canary's requests in progress that may be second attempts at a time: all of them. So stable gets at
most the load that it would have without the canary."""
MIN_RETRIES = 100
"""Second attempts at a time that are always allowed: of few requests, a share is none."""


def cluster(value: routing.Cluster) -> bytes:
    """A Cluster: addresses come by EDS; host names are inline, and the proxy resolves them.

    STRICT_DNS balances over every address that a name has, and over several names.
    """
    if value.members:
        return _composite(value)
    whole = _cluster(value, cluster_templates.EDS if uses_eds(value) else cluster_templates.STRICT_DNS)
    return _envoys_own(value.envoy) + whole if value.envoy else whole


def proxyless_cluster(value: routing.Cluster) -> bytes:
    """The same for gRPC, which knows host names only as LOGICAL_DNS, and only one of them, and has TLS by the
    credentials of its channel."""
    plain = value if value.upstream.tls is None else replace(value, upstream=_without_tls(value.upstream))
    return _cluster(plain, cluster_templates.EDS if uses_eds(value) else cluster_templates.LOGICAL_DNS)


def differs_for_proxyless(value: routing.Cluster) -> bool:
    """Whether gRPC needs a cluster of its own kind."""
    special = value.upstream.tls is not None or value.envoy or not all_addresses(value.endpoints or ())
    return not value.members and bool(special)


def uses_eds(value: routing.Cluster) -> bool:
    """Whether none of its endpoints has a host name, so that EDS has them."""
    return not value.members and all_addresses(value.endpoints or ())


def load_assignment(value: routing.Cluster) -> bytes:
    """A ClusterLoadAssignment: the endpoints of a cluster by zone."""
    zones: dict[str, list[Endpoint]] = {}
    for endpoint in value.endpoints or ():
        zones.setdefault(endpoint.zone, []).append(endpoint)
    groups = [_locality(zone, endpoints, value.version) for zone, endpoints in zones.items()]
    return clusters_pb2.ClusterLoadAssignment(cluster_name=value.name, endpoints=groups).SerializeToString()


def _locality(zone: str, endpoints: list[Endpoint], version: str) -> clusters_pb2.LocalityLbEndpoints:
    """The endpoints of one zone. gRPC drops those without a locality or whose locality has no weight."""
    return clusters_pb2.LocalityLbEndpoints(
        locality=clusters_pb2.Locality(zone=zone),
        lb_endpoints=[_endpoint(endpoint, version) for endpoint in endpoints],
        load_balancing_weight=UInt32Value(value=sum(endpoint.weight for endpoint in endpoints)),
    )


def _endpoint(value: Endpoint, version: str) -> clusters_pb2.LbEndpoint:
    address = pb.Address(pipe=pb.Pipe(path=value.path)) if value.path else _address(value.host, value.port)
    weight = UInt32Value(value=value.weight) if value.weight != 1 else None
    message = clusters_pb2.LbEndpoint(endpoint=clusters_pb2.Endpoint(address=address), load_balancing_weight=weight)
    if version:
        message.metadata.filter_metadata[METADATA]["version"] = version
    return message


def _composite(value: routing.Cluster) -> bytes:
    """A Cluster whose attempts go to its members in turn: see Envoy's composite cluster."""
    members = [clusters_pb2.CompositeMember(name=name) for name in value.members]
    composite = any_of(COMPOSITE, clusters_pb2.CompositeCluster(clusters=members))
    budget = clusters_pb2.RetryBudget(
        budget_percent=clusters_pb2.Percent(value=RETRY_BUDGET),
        min_retry_concurrency=UInt32Value(value=MIN_RETRIES),
    )
    breakers = clusters_pb2.CircuitBreakers(thresholds=[clusters_pb2.Thresholds(retry_budget=budget)])
    return clusters_pb2.Cluster(
        name=value.name,
        alt_stat_name=stats_name(value.name),
        cluster_type=clusters_pb2.CustomClusterType(name="envoy.clusters.composite", typed_config=composite),
        lb_policy=clusters_pb2.Cluster.CLUSTER_PROVIDED,
        connect_timeout=cluster_templates.CONNECT_TIMEOUT,
        circuit_breakers=breakers,
    ).SerializeToString()


def _cluster(value: routing.Cluster, discovery: clusters_pb2.Cluster.DiscoveryType) -> bytes:
    inline = b"" if discovery == cluster_templates.EDS else load_assignment(value)
    differs = clusters_pb2.Cluster(name=value.name, alt_stat_name=stats_name(value.name), load_assignment=inline)
    return cluster_templates.cluster(value.upstream, discovery) + differs.SerializeToString()


def _envoys_own(fields: str) -> bytes:
    from controller.core.servicefile.envoy_messages import encoded  # see there why not above

    return encoded(EnvoyMessage.CLUSTER, fields)


def _without_tls(upstream: Upstream) -> Upstream:
    return upstream.model_copy(update={"tls": None})


def _address(host: str, port: int) -> pb.Address:
    return pb.Address(socket_address=pb.SocketAddress(address=host, port_value=port))
