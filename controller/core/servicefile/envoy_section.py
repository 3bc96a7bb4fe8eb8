"""The `envoy` section of a service file: Envoy's own fields, where Haldane has no key for them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from controller.core.model.envoy_fields import EnvoyFields, EnvoyMessage
from controller.core.servicefile.section import Section
from controller.core.servicefile.violation_report import ViolationReport
from controller.core.servicefile.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode, join_path

NO_KEY = ""
OWNED: Mapping[EnvoyMessage, Mapping[str, str]] = {
    EnvoyMessage.CLUSTER: {
        **dict.fromkeys(("name", "alt_stat_name", "type", "cluster_type", "eds_cluster_config"), NO_KEY),
        **dict.fromkeys(("lrs_server", "connect_timeout", "common_lb_config", "dns_lookup_family"), NO_KEY),
        **dict.fromkeys(("wait_for_warm_on_init", "ignore_health_on_host_removal"), NO_KEY),
        "load_assignment": "versions",
        "load_balancing_policy": "balance",
        "lb_policy": "balance",
        "circuit_breakers": "limits",
        "transport_socket": "tls",
        "transport_socket_matches": "tls",
        "health_checks": "health",
        "outlier_detection": "outliers",
        "typed_extension_protocol_options": "http2 and idle_timeout",
    },
    EnvoyMessage.ROUTE: {
        **dict.fromkeys(("name", "redirect", "direct_response", "filter_action", "non_forwarding_action"), NO_KEY),
        **dict.fromkeys(("request_body_buffer_limit", "per_request_buffer_limit_bytes"), NO_KEY),
        "match": "path, prefix and match",
    },
    EnvoyMessage.HTTP_CONNECTION_MANAGER: {
        **dict.fromkeys(("stat_prefix", "rds", "route_config", "scoped_routes"), NO_KEY),
        "access_log": "listen.access_log",
        "use_remote_address": "listen.use_remote_address",
        "xff_num_trusted_hops": "listen.xff_trusted_hops",
        "stream_idle_timeout": "idle_timeout",
    },
}
"""The fields that Haldane sets, or may set: with the key that says them, if there is one."""
OWNED_ACTION = {
    **dict.fromkeys(("cluster", "cluster_header", "weighted_clusters", "cluster_specifier_plugin"), NO_KEY),
    "inline_cluster_specifier_plugin": NO_KEY,
    "timeout": "timeout",
    "idle_timeout": "idle_timeout",
    "max_stream_duration": "max_duration",
    "retry_policy": "retry",
    "retry_policy_typed_config": "retry",
    "upgrade_configs": "upgrades",
    "request_mirror_policies": "mirror",
    "hash_policy": "sticky",
}
"""The same of a route's `route`."""
ROUTER = "envoy.filters.http.router"
_TRUE = ("true", "yes", "on")


def read_envoy(top: Section) -> tuple[EnvoyFields, str]:
    """The fields of the clusters and routes, and those of the listener's connection manager."""
    section = top.section("envoy")
    read = {message: _read_fields(section, message) for message in EnvoyMessage}
    section.close()
    fields = EnvoyFields(cluster=read[EnvoyMessage.CLUSTER], route=read[EnvoyMessage.ROUTE])
    return fields, read[EnvoyMessage.HTTP_CONNECTION_MANAGER]


def _read_fields(section: Section, message: EnvoyMessage) -> str:
    """The fields of one message as JSON; empty if there are none, or something is wrong with them."""
    fields = section.section(message)
    if not fields.mapping.entries:
        return ""
    tree = _tree(fields.mapping, fields.path, section.report)
    for path, message_text in (*_owned(message, tree), *_untyped(message, tree)):
        section.report.add(_join(fields.path, path), message_text)
    return json.dumps(tree, sort_keys=True, separators=(",", ":")) if section.report.is_clean(fields.path) else ""


def _untyped(message: EnvoyMessage, tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    from controller.core.servicefile.envoy_messages import problems  # see there why not above

    return problems(message, tree)


def _owned(message: EnvoyMessage, tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The fields that are not to be set here."""
    from controller.core.servicefile.envoy_messages import snake_case

    action = tree.get("route") if message is EnvoyMessage.ROUTE else None
    levels: list[tuple[tuple[str, ...], Mapping[str, Any], Mapping[str, str]]] = [((), tree, OWNED[message])]
    if isinstance(action, dict):
        levels.append((("route",), action, OWNED_ACTION))
    for path, fields, owned in levels:
        for key in fields:
            if (name := snake_case(key)) in owned:
                yield (*path, key), f"is set by Haldane{': see ' + owned[name] if owned[name] else ''}"
    if message is EnvoyMessage.HTTP_CONNECTION_MANAGER:
        yield from _routers(tree)


def _routers(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Filters come before Haldane's router, which is the last."""
    for key in ("http_filters", "httpFilters"):
        filters = tree.get(key)
        for number, each in enumerate(filters if isinstance(filters, list) else ()):
            config = each.get("typed_config", each.get("typedConfig")) if isinstance(each, dict) else None
            kind = str(config.get("@type", "")) if isinstance(config, dict) else ""
            if kind.endswith(".http.router.v3.Router") or (isinstance(each, dict) and each.get("name") == ROUTER):
                yield (key, number), "is set by Haldane: its router comes after these filters"


def _tree(node: Node, path: str, report: ViolationReport) -> Any:
    """The node as JSON, its lines noted."""
    report.lines[path] = node.line
    match node:
        case MappingNode():
            for key, entry in node.entries.items():
                report.lines[join_path(path, key)] = entry.line
            return {key: _tree(entry.node, join_path(path, key), report) for key, entry in node.entries.items()}
        case SequenceNode():
            return [_tree(item, f"{path}[{number}]", report) for number, item in enumerate(node.nodes)]
        case ScalarNode():
            return _scalar(node, path, report)
        case _:
            return None


def _scalar(node: ScalarNode, path: str, report: ViolationReport) -> str | int | float | bool | None:
    match node.type:
        case "null":
            report.add(path, "is empty: give it a value or leave it out")
            return None
        case "bool":
            return node.text.lower() in _TRUE
        case "int" | "float":
            try:
                return int(node.text) if node.type == "int" else float(node.text)
            except ValueError:
                return node.text
        case _:
            return node.text


def _join(path: str, parts: tuple[str | int, ...]) -> str:
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else join_path(path, part)
    return path
