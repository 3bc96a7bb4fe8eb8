"""Templates: what all resources of a kind have in common, built and serialised once.

`envoy_messages` appends to these bytes what differs, as protobuf allows: always whole fields, since not every reader
of protobuf merges the two halves of one.
"""

from datetime import timedelta
from functools import cache, lru_cache

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from controller.core.model.upstream import Upstream
from controller.pb.haldane.wire.v1 import clusters_pb2
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.access_logs import stats_loggers
from controller.xds.resources.type_urls import TYPE_URL_PREFIX
from controller.xds.resources.upstream_options import set_upstream

CONNECT_TIMEOUT = timedelta(seconds=1)
"""An endpoint that does not accept within a second is down. Envoy's own default is five."""

ROUTER = "envoy.extensions.filters.http.router.v3.Router"

EDS, STRICT_DNS, LOGICAL_DNS = (
    clusters_pb2.Cluster.EDS,
    clusters_pb2.Cluster.STRICT_DNS,
    clusters_pb2.Cluster.LOGICAL_DNS,
)
MOST_CLUSTERS = 1024
"""Templates of clusters that are kept. Most services agree in how their versions are reached."""


@lru_cache(MOST_CLUSTERS)
def cluster(upstream: Upstream, discovery: clusters_pb2.Cluster.DiscoveryType) -> bytes:
    """A Cluster without its names; with host names, also without its endpoints. No retries."""
    template = clusters_pb2.Cluster(
        type=discovery,
        connect_timeout=CONNECT_TIMEOUT,
        # A proxyless client reports its load to where its cluster came from. Envoy reads its bootstrap instead.
        lrs_server=pb.ConfigSource(same_server=Empty(), resource_api_version=pb.ConfigSource.V3),
    )
    set_upstream(template, upstream)
    if discovery == EDS:
        template.eds_cluster_config.eds_config.CopyFrom(_ads())
    else:
        # Where a name has both, servers are more often reached by IPv4 ("localhost" above all).
        template.dns_lookup_family = clusters_pb2.Cluster.V4_PREFERRED
        # Envoy ACKs a CDS response once all of its clusters are warm: a name that no DNS server answers would hold up
        # every other service for two minutes. A canary gets no weight before a proxy knows an endpoint of it.
        template.wait_for_warm_on_init.CopyFrom(BoolValue(value=False))
    return template.SerializeToString(deterministic=True)


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
