"""Templates: what all resources of a kind have in common, built and serialised once.

`envoy_messages` appends to these bytes what differs, as protobuf allows: always whole fields, since not every reader
of protobuf merges the two halves of one.
"""

from datetime import timedelta
from functools import cache

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.access_logs import stats_loggers
from controller.xds.resources.type_urls import TYPE_URL_PREFIX

CONNECT_TIMEOUT = timedelta(seconds=1)
"""An endpoint that does not accept within a second is down. Envoy's own default is five."""

NO_BREAKER = 1_000_000_000
"""Envoy's circuit breakers open at 1024 by default. A breaker that opens on one version alone would be read as harm by
that version, and clients would pay for it: the timeout and the judge bound a slow version instead."""

HTTP_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROUTER = "envoy.extensions.filters.http.router.v3.Router"

EDS, STRICT_DNS, LOGICAL_DNS = pb.Cluster.EDS, pb.Cluster.STRICT_DNS, pb.Cluster.LOGICAL_DNS


@cache
def cluster(protocol: str, discovery: pb.Cluster.DiscoveryType) -> bytes:
    """A Cluster without its names; with host names, also without its endpoints. No retries, round robin."""
    most = UInt32Value(value=NO_BREAKER)
    breaker = pb.Thresholds(max_connections=most, max_pending_requests=most, max_requests=most, max_retries=most)
    template = pb.Cluster(
        type=discovery,
        connect_timeout=CONNECT_TIMEOUT,
        circuit_breakers=pb.CircuitBreakers(thresholds=[breaker]),
        # A proxyless client reports its load to where its cluster came from. Envoy reads its bootstrap instead.
        lrs_server=pb.ConfigSource(same_server=Empty(), resource_api_version=pb.ConfigSource.V3),
    )
    if discovery == EDS:
        template.eds_cluster_config.eds_config.CopyFrom(_ads())
    else:
        # Where a name has both, servers are more often reached by IPv4 ("localhost" above all).
        template.dns_lookup_family = pb.Cluster.V4_PREFERRED
        # Envoy ACKs a CDS response once all of its clusters are warm: a name that no DNS server answers would hold up
        # every other service for two minutes. A canary gets no weight before a proxy knows an endpoint of it.
        template.wait_for_warm_on_init.CopyFrom(BoolValue(value=False))
    if protocol == "grpc":
        http2 = pb.HttpProtocolOptions(explicit_http_config=pb.ExplicitHttpConfig(http2_protocol_options=Empty()))
        template.typed_extension_protocol_options[HTTP_PROTOCOL].CopyFrom(_any(HTTP_PROTOCOL, http2))
    return template.SerializeToString(deterministic=True)


@cache
def locality() -> bytes:
    """A LocalityLbEndpoints without endpoints. gRPC drops one without a locality or without a weight."""
    return pb.LocalityLbEndpoints(locality=Empty(), load_balancing_weight=UInt32Value(value=1)).SerializeToString()


@cache
def http_connections(*, count_endings: bool) -> bytes:
    """An HttpConnectionManager without its name and its routes; `count_endings`: with the stats loggers."""
    router = pb.Filter(name="envoy.filters.http.router", typed_config=_any(ROUTER, Empty()))
    loggers = stats_loggers() if count_endings else []
    return pb.HttpConnectionManager(http_filters=[router], access_log=loggers).SerializeToString()


@cache
def routes() -> bytes:
    """An Rds without the name of its route configuration, which comes on the same stream."""
    return pb.Rds(config_source=_ads()).SerializeToString()


def _ads() -> pb.ConfigSource:
    return pb.ConfigSource(ads=Empty(), resource_api_version=pb.ConfigSource.V3)


def _any(kind: str, message: Message) -> Any:
    return Any(type_url=TYPE_URL_PREFIX + kind, value=message.SerializeToString())
