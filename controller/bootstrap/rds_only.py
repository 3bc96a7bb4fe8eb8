"""What an Envoy of the operator's own needs, to be merged into its file: `haldane bootstrap --rds-only`.

It is the bootstrap without what such an Envoy has already (an admin page, listeners by LDS), and an example of a
listener that gets its routes from Haldane.
"""

import re
from collections.abc import Sequence
from typing import Any

from controller.bootstrap.yaml_text import to_yaml
from controller.core.base.value import NAME
from controller.core.servicefile.upstream_rules import OWN_CLUSTER
from controller.xds.resources.access_logs import first_token_logger, stats_loggers
from controller.xds.resources.listener_options import written_logger

ROUTE_CONFIG = "haldane"
"""The name of the route configuration unless another is given."""
HEAD = """\
# What an Envoy of your own needs to get its routes from Haldane, made by `haldane bootstrap --rds-only`.
# Merge it into your file: mappings key by key, and lists (stats_sinks, clusters, listeners) after what is there.
# docs/own-envoy.md is the whole story.
"""
COMMENTS = {
    "node": "Your own id and cluster may stay: the id must be unique, and the cluster is the fleet of service files.",
    "dynamic_resources": "The stream from the controller. `cds_config` brings the clusters of the versions. Without\n"
    "# `lds_config`, all listeners stay yours.",
    "cluster_manager": "Requests, successes and failures of each version. Without it nothing can be judged.",
    "stats_flush_interval": "Latency, and what load reports do not contain. A sink of your own may stay beside it.",
    "static_resources": "The controller, and an example of a listener: yours needs its `rds`, and its access logs,\n"
    "# which count responses that break off, clients that give up, and times to the first token.",
}
"""Top-level key -> what is said above it."""


def render(whole: dict[str, Any], *, route_config: str = ROUTE_CONFIG, own_clusters: Sequence[str] = ()) -> str:
    """The snippet as YAML: what it needs of a whole bootstrap (`bootstrap.configuration`), which is used up; the
    name of the services' `route_config`, and the clusters of the file that are versions. Raises ValueError, which names
    the invalid option.
    """
    if not re.fullmatch(NAME, route_config):
        raise ValueError(
            "--route-config: lower-case letters, digits, '_', '.' and '-', at most 63, are needed, "
            f"not {route_config!r}"
        )
    for name in own_clusters:
        if not re.fullmatch(OWN_CLUSTER, name):
            raise ValueError(f"--own-cluster: 1 to 255 letters, digits, '_' and '-' are needed, not {name!r}")
    if own_clusters:
        (buckets,) = whole["stats_config"]["histogram_bucket_settings"]
        regex, names = buckets["match"]["safe_regex"], "|".join(own_clusters)
        regex["regex"] += rf"|cluster\.({names})\.upstream_rq_time|haldane\.ttft\.cluster\.({names})"
    whole.pop("admin", None)
    del whole["dynamic_resources"]["lds_config"]
    whole["static_resources"]["listeners"] = [_listener(route_config)]
    parts = []
    for key, value in whole.items():
        comment = f"\n# {COMMENTS[key]}\n" if key in COMMENTS else ""
        parts.append(comment + (f"{key}: {value}\n" if isinstance(value, str) else to_yaml({key: value})))
    return HEAD + "".join(parts)


def _listener(route_config: str) -> dict[str, Any]:
    """A listener whose routes are those of Haldane."""
    extensions = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "rds": {
            "route_config_name": route_config,
            "config_source": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "2s"},
        },
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{extensions}.http.router.v3.Router"}}
        ],
        "access_log": [written_logger(each) for each in (*stats_loggers(), first_token_logger())],
    }
    return {
        "name": "example",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
