"""The Envoy bootstrap for this controller, from the template in `envoy/bootstrap.yaml`.

The template's placeholders: `${node}` and `${fleet}` identify the proxy; `${admin}` is an address; `${xds_discovery}`
is how the controller's address is found, `${xds_endpoints}` where it is; `${xds_protocol}` DELTA_GRPC or GRPC;
`${latency_edges}` the buckets of latencies.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

import yaml

from controller.bootstrap.addresses import (
    endpoints_by_priority,
    envoy_address,
    is_ip,
    read_address,
    read_addresses,
)
from controller.bootstrap.identity import node_of
from controller.bootstrap.proxy_tls import ProxyTls
from controller.bootstrap.yaml_text import Text, to_yaml
from controller.core.traffic.latency_buckets import EDGES_MS

HEAD = """\
# An Envoy bootstrap for Haldane, made by `haldane bootstrap`; its template with the reasons is envoy/bootstrap.yaml.
# Each Envoy needs a node id of its own: print one for each, or start Envoy with --service-node ID.
"""
HEALTH_CHECK = {
    "timeout": "2s",
    "interval": "2s",
    "no_traffic_interval": "2s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
    "grpc_health_check": {},
}
"""How Envoy finds out which of several controllers is there. It opens new streams at the first one that is."""

_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def render(
    *,
    fleet: str,
    node: str | None = None,
    xds: str,
    envoy_admin: str | None = "127.0.0.1:9901",
    protocol: Literal["delta", "sotw"] = "delta",
    tls: ProxyTls | None = None,
) -> str:
    """The bootstrap as YAML, ready for `envoy -c`: the text of its `configuration`, whose arguments these are."""
    filled = configuration(fleet=fleet, node=node, xds=xds, envoy_admin=envoy_admin, protocol=protocol, tls=tls)
    return HEAD + to_yaml(filled)


def configuration(
    *,
    fleet: str,
    node: str | None = None,
    xds: str,
    envoy_admin: str | None = "127.0.0.1:9901",
    protocol: Literal["delta", "sotw"] = "delta",
    tls: ProxyTls | None = None,
) -> dict[str, Any]:
    """The bootstrap as a tree.

    `xds` is where the controllers listen for proxies, HOST:PORT,HOST:PORT,... in the order of preference. `envoy_admin`
    None leaves Envoy's admin page out. Without `tls` the connection is not encrypted. Raises ValueError, which names
    the invalid option and what is needed.
    """
    identity = node_of(fleet, node)
    controllers = read_addresses("--xds", xds)
    values = {
        "node": Text(identity["id"]),
        "fleet": Text(identity["cluster"]),
        "xds_endpoints": endpoints_by_priority(controllers),
        "xds_discovery": "STATIC" if all(is_ip(host) for host, _ in controllers) else "STRICT_DNS",
        "xds_protocol": {"delta": "DELTA_GRPC", "sotw": "GRPC"}[protocol],
        "admin": envoy_address(*read_address("--envoy-admin", envoy_admin)) if envoy_admin else None,
        "latency_edges": list(EDGES_MS),
    }
    template: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("envoy.yaml").read_text(encoding="utf-8"))
    if not envoy_admin:
        del template["admin"]
    filled: dict[str, Any] = _filled(template, values)
    (cluster,) = filled["static_resources"]["clusters"]
    if tls:
        cluster["transport_socket"] = tls.transport_socket()
    if len(controllers) > 1:
        cluster["health_checks"] = [HEALTH_CHECK]
    return filled


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    """The same tree with the placeholders' values in their places."""
    if isinstance(part, dict):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    match = _PLACEHOLDER.fullmatch(part) if isinstance(part, str) else None
    return values[match[1]] if match else part
