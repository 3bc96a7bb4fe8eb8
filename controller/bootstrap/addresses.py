"""HOST:PORT of options -> Envoy's addresses. What reads them raises ValueError, which names the option and what is
needed.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from controller.bootstrap.yaml_text import Text

MOST = 16
"""Controllers that a bootstrap names."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def read_address(option: str, text: str) -> tuple[str, int]:
    """The host, without brackets, and the port."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    valid = is_ip(bare) if bracketed else ":" not in host and _HOST.fullmatch(host)
    if not colon or not valid or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{option}: HOST:PORT is needed, such as 127.0.0.1:18000 or [::1]:18000, not {text!r}")
    return bare, int(port)


def read_addresses(option: str, text: str) -> list[tuple[str, int]]:
    """Those of HOST:PORT,HOST:PORT,..."""
    addresses = [read_address(option, each) for each in text.split(",")]
    if len(set(addresses)) < len(addresses) or len(addresses) > MOST:
        raise ValueError(f"{option}: at most {MOST} different addresses are needed, not {text!r}")
    return addresses


def envoy_address(host: str, port: int) -> dict[str, Any]:
    """As Envoy writes it."""
    return {"socket_address": {"address": Text(host), "port_value": port}}


def endpoints_by_priority(addresses: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """The controllers in the order of their preference.

    Priorities, and no round robin: all streams of a proxy must go to one controller, since reports count only where the
    proxy has its xDS stream.
    """
    localities = []
    for priority, (host, port) in enumerate(addresses):
        locality: dict[str, Any] = {"lb_endpoints": [{"endpoint": {"address": envoy_address(host, port)}}]}
        localities.append({"priority": priority, **locality} if priority else locality)
    return localities


def is_ip(host: str) -> bool:
    """Whether it is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
