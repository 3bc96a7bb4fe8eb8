"""Templates: what all resources of a kind have in common, built and checked by envoy-data-plane, serialised once.

Serialising one such message takes milliseconds: too long for every cluster and every weight step. So
`envoy_messages` appends to these bytes what differs, as protobuf allows: always whole fields, since not every reader
of protobuf merges the two halves of one.
"""

from datetime import timedelta
from functools import cache

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    Http2ProtocolOptions,
    Locality,
    SelfConfigSource,
)
from envoy_data_plane.envoy.config.endpoint.v3 import LocalityLbEndpoints
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

from controller.xds.resources.access_logs import stats_loggers

CONNECT_TIMEOUT = timedelta(seconds=1)
"""An endpoint that does not accept within a second is down. Envoy's own default is five."""

NO_BREAKER = 1_000_000_000
"""Envoy's circuit breakers open at 1024 by default. A breaker that opens on one version alone would be read as harm by
that version, and clients would pay for it: the timeout and the judge bound a slow version instead."""

HTTP_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

EDS, STRICT_DNS, LOGICAL_DNS = (
    ClusterDiscoveryType.EDS,
    ClusterDiscoveryType.STRICT_DNS,
    ClusterDiscoveryType.LOGICAL_DNS,
)


@cache
def cluster(protocol: str, discovery: ClusterDiscoveryType) -> bytes:
    """A Cluster without its names; with host names, also without its endpoints. No retries, round robin."""
    breaker = CircuitBreakersThresholds(
        max_connections=NO_BREAKER, max_pending_requests=NO_BREAKER, max_requests=NO_BREAKER, max_retries=NO_BREAKER
    )
    template = Cluster(
        type=discovery,
        connect_timeout=CONNECT_TIMEOUT,
        circuit_breakers=CircuitBreakers(thresholds=[breaker]),
        # A proxyless client reports its load to where its cluster came from. Envoy reads its bootstrap instead.
        lrs_server=ConfigSource(self=SelfConfigSource(), resource_api_version=ApiVersion.V3),
    )
    if discovery is EDS:
        template.eds_cluster_config = ClusterEdsClusterConfig(eds_config=_ads())
    else:
        # Where a name has both, servers are more often reached by IPv4 ("localhost" above all).
        template.dns_lookup_family = ClusterDnsLookupFamily.V4_PREFERRED
        # Envoy ACKs a CDS response once all of its clusters are warm: a name that no DNS server answers would hold up
        # every other service for two minutes. A canary gets no weight before a proxy knows an endpoint of it.
        template.wait_for_warm_on_init = False
    if protocol == "grpc":
        http2 = HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions())
        template.typed_extension_protocol_options[HTTP_PROTOCOL] = Any.pack(
            HttpProtocolOptions(explicit_http_config=http2)
        )
    return bytes(template)


@cache
def locality() -> bytes:
    """A LocalityLbEndpoints without endpoints. gRPC drops one without a locality or without a weight."""
    return bytes(LocalityLbEndpoints(locality=Locality(), load_balancing_weight=1))


@cache
def http_connections(*, count_endings: bool) -> bytes:
    """An HttpConnectionManager without its name and its routes; `count_endings`: with the stats loggers."""
    router = HttpFilter(name="envoy.filters.http.router", typed_config=Any.pack(Router()))
    return bytes(HttpConnectionManager(http_filters=[router], access_log=stats_loggers() if count_endings else []))


@cache
def routes() -> bytes:
    """An Rds without the name of its route configuration, which comes on the same stream."""
    return bytes(Rds(config_source=_ads()))


def _ads() -> ConfigSource:
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
