"""The type URLs of the resources that Haldane serves, and what the protocol says of their order and completeness."""

TYPE_URL_PREFIX = "type.googleapis.com/"
CDS = TYPE_URL_PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = TYPE_URL_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LDS = TYPE_URL_PREFIX + "envoy.config.listener.v3.Listener"
RDS = TYPE_URL_PREFIX + "envoy.config.route.v3.RouteConfiguration"

PUSH_ORDER = (CDS, EDS, LDS, RDS)
"""The order of responses on one stream: make before break."""

FULL_STATE_TYPES = frozenset((CDS, LDS))
"""State of the world: a response of these types is the full set, so a resource that is absent from it is removed."""
