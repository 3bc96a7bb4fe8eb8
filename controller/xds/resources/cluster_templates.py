"""Templates: what all resources of a kind have in common, built and serialised once.

`cluster_messages` appends to these bytes what differs, as protobuf allows: always whole fields, since not every reader
of protobuf merges the two halves of one.
"""

from datetime import timedelta
from functools import lru_cache

from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import BoolValue

from controller.core.model.upstream import Upstream
from controller.pb.haldane.wire.v1 import clusters_pb2
from controller.pb.haldane.wire.v1 import resources_pb2 as pb
from controller.xds.resources.message_parts import ads
from controller.xds.resources.upstream_options import set_upstream

CONNECT_TIMEOUT = timedelta(seconds=1)
"""An endpoint that does not accept within a second is down. Envoy's own default is five."""


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
        template.eds_cluster_config.eds_config.CopyFrom(ads())
    else:
        # Where a name has both, servers are more often reached by IPv4 ("localhost" above all).
        template.dns_lookup_family = clusters_pb2.Cluster.V4_PREFERRED
        # Envoy ACKs a CDS response once all of its clusters are warm: a name that no DNS server answers would hold up
        # every other service for two minutes. A canary gets no weight before a proxy knows an endpoint of it.
        template.wait_for_warm_on_init.CopyFrom(BoolValue(value=False))
    return template.SerializeToString(deterministic=True)
