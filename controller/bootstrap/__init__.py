"""The Envoy bootstrap for this controller, from the template in `envoy/bootstrap.yaml`.

The template's placeholders: `${node}` and `${fleet}` identify the proxy; `${xds}` and `${admin}` are addresses;
`${xds_discovery}` is how the controller's address is found; `${xds_protocol}` DELTA_GRPC or GRPC; `${flush_interval}`
the time between two flushes of the metrics; `${latency_edges}` the buckets of latencies.
"""

import ipaddress
import re
import secrets
import socket
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

import yaml

from controller.core.base.value import NAME
from controller.core.traffic.latency_buckets import EDGES_MS

NODE = r"[\x21-\x7e]{1,256}"
"""The pattern of a node id: printable characters without spaces."""

HEAD = """\
# An Envoy bootstrap for Haldane, made by `haldane bootstrap`; its template with the reasons is envoy/bootstrap.yaml.
# Each Envoy needs a node id of its own: print one for each, or start Envoy with --service-node ID.
"""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


def render(
    *,
    fleet: str,
    node: str | None = None,
    xds: str,
    envoy_admin: str | None = "127.0.0.1:9901",
    protocol: Literal["delta", "sotw"] = "delta",
    flush_interval: float = 0.5,
) -> str:
    """The bootstrap as YAML, ready for `envoy -c`: the text of its `configuration`, whose arguments these are."""
    filled = configuration(
        fleet=fleet, node=node, xds=xds, envoy_admin=envoy_admin, protocol=protocol, flush_interval=flush_interval
    )
    return HEAD + to_yaml(filled)


def configuration(
    *,
    fleet: str,
    node: str | None = None,
    xds: str,
    envoy_admin: str | None = "127.0.0.1:9901",
    protocol: Literal["delta", "sotw"] = "delta",
    flush_interval: float = 0.5,
) -> dict[str, Any]:
    """The bootstrap as a tree.

    `xds` is where the controller listens for proxies, HOST:PORT. `envoy_admin` None leaves Envoy's admin page out.
    Without `node` the id is this host's name and a few random letters. `flush_interval` is in seconds. Raises
    ValueError, which names the invalid option and what is needed.
    """
    if not re.fullmatch(NAME, fleet):
        raise ValueError(
            f"--fleet: lower-case letters, digits, '_', '.' and '-', at most 63, are needed, not {fleet!r}"
        )
    if node and not re.fullmatch(NODE, node):
        raise ValueError(f"--node: 1 to 256 printable characters without spaces are needed, not {node!r}")
    if not 0.1 <= flush_interval <= 60:
        raise ValueError(f"flush_interval: 0.1 to 60 seconds are needed, not {flush_interval!r}")
    host, port = _host_and_port("--xds", xds)
    values = {
        "node": _Text(node or f"{socket.gethostname()[:200]}-{secrets.token_hex(3)}"),
        "fleet": _Text(fleet),
        "xds": _address(host, port),
        "xds_discovery": "STATIC" if _is_ip(host) else "STRICT_DNS",
        "xds_protocol": {"delta": "DELTA_GRPC", "sotw": "GRPC"}[protocol],
        "admin": _address(*_host_and_port("--envoy-admin", envoy_admin)) if envoy_admin else None,
        "flush_interval": f"{flush_interval:g}s",
        "latency_edges": list(EDGES_MS),
    }
    template: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("envoy.yaml").read_text(encoding="utf-8"))
    if not envoy_admin:
        del template["admin"]
    filled: dict[str, Any] = _filled(template, values)
    return filled


def to_yaml(part: Mapping[str, Any]) -> str:
    """Text of a part of a configuration."""
    return yaml.dump(part, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110)


class _Text(str):
    """A string that is always quoted: YAML parsers disagree about y, 1e3 or 0x1 without quotes."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Puts `_Text` in quotes."""


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    """The same tree with the placeholders' values in their places."""
    if isinstance(part, dict):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    match = _PLACEHOLDER.fullmatch(part) if isinstance(part, str) else None
    return values[match[1]] if match else part


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": _Text(host), "port_value": port}}


def _host_and_port(option: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    valid = _is_ip(bare) if bracketed else ":" not in host and _HOST.fullmatch(host)
    if not colon or not valid or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{option}: HOST:PORT is needed, such as 127.0.0.1:18000 or [::1]:18000, not {text!r}")
    return bare, int(port)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
