"""The rules for single fields of a service file: text -> value, or ValueError that says what would be valid.

Later code compares names and addresses byte by byte, so each gets one spelling here: ASCII, lower case, IP addresses
in their shortest form, an IPv4-mapped IPv6 address as the IPv4 address that it stands for. A look-alike letter is
rejected, and so are a name that ends with a dot and an IPv4 address with leading zeros.
"""

import re
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import LiteralString, TypeVar

from controller.core.base.units import (
    TOTAL_WEIGHT,
    format_duration,
    format_weight,
    parse_duration,
    parse_share,
    to_basis_points,
)
from controller.core.base.value import NAME
from controller.core.model.service import Endpoint
from controller.core.servicefile.yaml_tree import quoted

W = TypeVar("W", bound=LiteralString)

MAX_HOST = 253
"""Characters of a host name, RFC 1123."""
MAX_PATH = 1024
"""Characters of a path or a prefix of paths. Servers reject much shorter paths."""
MAX_SOCKET = 107
"""Characters of the path of a Unix socket: Linux's own limit."""
MAX_RESPONSE = 4096
"""Bytes of a fixed response: Envoy's own limit for a body in a route."""

_NAME = re.compile(NAME + r"\Z", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z", re.ASCII)
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z", re.ASCII)
_STATUS = re.compile(r"[2-5][0-9]{2}\Z", re.ASCII)
_LIMIT = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?\Z|[0-9]{1,3}(?:\.[0-9]{1,9})?%\Z", re.ASCII)
_SOCKET = re.compile(r"/[!-~]+\Z", re.ASCII)
_SECRET = re.compile(r"[!-~]{1,255}\Z", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,255}\Z", re.ASCII)
"""A token of RFC 9110."""
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,255}\Z", re.ASCII)
_PARAMETER = re.compile(r"[!-\"$%'-<>-~]{1,255}\Z", re.ASCII)
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?\Z", re.ASCII)
OWN_HEADERS = ("host", "connection", "content-length", "transfer-encoding", "upgrade")
"""Headers that carry the request itself."""
_PATH = re.compile(r"/[!-\"$->@-~]*\Z", re.ASCII)


def read_name(text: str) -> str:
    """A name of a service, version or fleet."""
    if not _NAME.match(text):
        raise ValueError(
            f"a name has 1 to 63 of a-z, 0-9, '.', '_' and '-' and begins with a letter or digit, unlike {quoted(text)}"
        )
    return text


def read_port(text: str) -> int:
    """A port, 1 to 65535."""
    if not _is_port(text):
        raise ValueError(f"a port is a whole number from 1 to 65535, not {quoted(text)}")
    return int(text)


def read_address(text: str) -> str:
    """An IP address to listen on, in its shortest form."""
    address = _ip(text)
    if address is None:
        raise ValueError(f"an IP address such as 127.0.0.1 or ::1 is needed, not {quoted(text)}")
    return address


def read_endpoint(text: str) -> Endpoint:
    """`host:port` or `[ipv6]:port`, of an address that can be connected to, or `unix:/path` of a socket."""
    if text.startswith("unix:"):
        return Endpoint(path=_read_socket(text.removeprefix("unix:")))
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"an endpoint is host:port, such as 127.0.0.1:9001, not {quoted(text)}")
    return Endpoint(host=_read_host(host), port=read_port(port))


def read_domain(text: str) -> str:
    """A host name as Envoy matches it: exact, `*`, `*.example.com` or `example.*`, with `:port` if it has one."""
    domain = text.lower()
    host, colon, port = domain.rpartition(":")
    with_port = bool(colon) and not domain.endswith("]")
    if not (_is_domain(host) and _is_port(port) if with_port else domain == "*" or _is_domain(domain)):
        raise ValueError(
            f"a host is a name such as example.com, '*', '*.example.com' or 'example.*', not {quoted(text)}"
        )
    return domain


def read_prefix(text: str) -> str:
    """A prefix of paths. It matches whole segments, or as it is if it ends with a slash."""
    return _read_path("prefix", text)


def read_path(text: str) -> str:
    """A whole path, without a query."""
    return _read_path("path", text)


def _read_path(what: str, text: str) -> str:
    if len(text) > MAX_PATH or not _PATH.match(text):
        raise ValueError(
            f"a {what} begins with / and has at most {MAX_PATH} characters, none of them a space, ? or #, "
            f"unlike {quoted(text)}"
        )
    return text


def read_bool(text: str) -> bool:
    """true or false."""
    if text not in ("true", "false"):
        raise ValueError(f"true or false is needed, not {quoted(text)}")
    return text == "true"


def number_of(least: int, most: int) -> Callable[[str], int]:
    """The rule for a whole number, bounds included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}, not {quoted(text)}")
        return int(text)

    return read


def read_log_target(text: str) -> str:
    """Where Envoy writes its access log: stdout, stderr, or a file."""
    if text in ("stdout", "stderr") or (len(text) <= MAX_PATH and _PATH.match(text)):
        return text
    raise ValueError(f"stdout, stderr or the absolute path of a file is needed, not {quoted(text)}")


def read_secret(text: str) -> str:
    """The name of a secret in Envoy's bootstrap."""
    if not _SECRET.match(text):
        raise ValueError(f"the name of a secret has 1 to 255 printable characters and no space, unlike {quoted(text)}")
    return text


def read_upgrade(text: str) -> str:
    """A protocol that a request can upgrade to."""
    if not _HEADER.match(text.lower()) or text.lower() == "connect":
        raise ValueError(f"a protocol such as websocket is needed, not {quoted(text)}")
    return text.lower()


def read_header_name(text: str) -> str:
    """The name of a header that may be set or removed, in lower case."""
    name = text.lower()
    if not _HEADER.match(name) or name in OWN_HEADERS:
        raise ValueError(f"the name of a header other than {', '.join(OWN_HEADERS)} is needed, not {quoted(text)}")
    return name


def read_token(text: str) -> str:
    """The name of a cookie."""
    if not _TOKEN.match(text):
        raise ValueError(f"the name of a cookie has 1 to 255 letters, digits, '-', '_' and '.', unlike {quoted(text)}")
    return text


def read_parameter(text: str) -> str:
    """The name of a query parameter, as it stands in a request."""
    if not _PARAMETER.match(text):
        raise ValueError(f"the name of a query parameter has no space, &, = or #, unlike {quoted(text)}")
    return text


def read_header_value(text: str) -> str:
    """The value of a header, as it is sent."""
    if len(text) > MAX_PATH or not _HEADER_VALUE.match(text):
        raise ValueError(f"a header has up to {MAX_PATH} printable ASCII characters, unlike {quoted(text)}")
    return text


def read_status(text: str) -> int:
    """The HTTP status of a fixed response."""
    if not _STATUS.match(text):
        raise ValueError(f"an HTTP status from 200 to 599 is needed, not {quoted(text)}")
    return int(text)


def read_response(text: str) -> str:
    """The body of a fixed response."""
    if len(text.encode()) > MAX_RESPONSE:
        raise ValueError(f"a fixed response has at most {MAX_RESPONSE} bytes")
    return text


def duration_within(least: float, most: float) -> Callable[[str], float]:
    """The rule for a duration in seconds, bounds included."""

    def read(text: str) -> float:
        seconds = parse_duration(text)
        if not least <= seconds <= most:
            raise ValueError(f"between {format_duration(least)} and {format_duration(most)}, not {quoted(text)}")
        return seconds

    return read


def share_within(least: float, most: float) -> Callable[[str], float]:
    """The rule for a share in 0..1, bounds included."""

    def read(text: str) -> float:
        share = parse_share(text)
        if not least <= share <= most:
            raise ValueError(f"between {_percent(least)} and {_percent(most)}, not {quoted(text)}")
        return share

    return read


def number_within(least: float, most: float) -> Callable[[str], float]:
    """The rule for a plain decimal number, bounds included."""

    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not least <= float(text) <= most:
            raise ValueError(f"a number between {least:g} and {most:g}, not {quoted(text)}")
        return float(text)

    return read


def read_limit(text: str) -> float:
    """An absolute limit of a custom metric: a share with %, or a number in the metric's unit."""
    if not _LIMIT.match(text):
        raise ValueError(f"a limit is a share such as 85% or a number such as 250 or 0.85, not {quoted(text)}")
    return parse_share(text) if text.endswith("%") else float(text)


def one_of(*words: W) -> Callable[[str], W]:
    """The rule for a choice among words."""

    def read(text: str) -> W:
        for word in words:
            if word == text:
                return word
        raise ValueError(f"one of {', '.join(words)} is needed, not {quoted(text)}")

    return read


def read_step(text: str) -> int:
    """A canary's weight in basis points, above 0% and below 100%."""
    weight = to_basis_points(parse_share(text))
    if not 0 < weight < TOTAL_WEIGHT:
        raise ValueError(f"a step lies above 0% and below 100%, unlike {quoted(text)}: promotion follows the last step")
    return weight


def read_holdback(text: str) -> int:
    """Stable's weight during the bake, in basis points: at most half."""
    weight = to_basis_points(parse_share(text))
    if weight > TOTAL_WEIGHT // 2:
        raise ValueError(f"a holdback is at most {format_weight(TOTAL_WEIGHT // 2)}, unlike {quoted(text)}")
    return weight


def read_mirror_share(text: str) -> int:
    """The share of the requests that are copied, in basis points."""
    share = to_basis_points(parse_share(text))
    if not share:
        raise ValueError("a share that is copied is above 0%")
    return share


def read_approval(text: str) -> int:
    """A weight, in basis points, that needs an operator's approval."""
    weight = to_basis_points(parse_share(text))
    if not weight:
        raise ValueError(f"a share that needs approval is above {format_weight(0)}")
    return weight


def _read_host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        address = _ip(text[1:-1])
        if address is None or ":" not in text[1:-1]:
            raise ValueError(f"between the brackets an IPv6 address is needed, not {quoted(text[1:-1])}")
        return _reachable(address)
    if ":" in text:
        raise ValueError(f"an IPv6 address stands in brackets: [::1]:9001, unlike {quoted(text)}")
    address = _ip(text)
    if address is not None:
        return _reachable(address)
    host = text.lower()
    if not is_host(host):
        raise ValueError(
            f"a host is an IP address or a name of letters a-z, digits, '-' and '.' (RFC 1123), not {quoted(text)}"
        )
    return host


def _read_socket(path: str) -> str:
    if len(path) > MAX_SOCKET or not _SOCKET.match(path):
        raise ValueError(
            f"a Unix socket is unix: and an absolute path of at most {MAX_SOCKET} characters, not {quoted(path)}"
        )
    return path


def _is_port(text: str) -> bool:
    return bool(_PORT.match(text)) and int(text) <= 65535


def _reachable(address: str) -> str:
    ip = ip_address(address)
    if ip.is_unspecified or ip.is_multicast:
        raise ValueError(f"{address} is not the address of a server")
    return address


def _ip(text: str) -> str | None:
    """The shortest form of an IP address without a zone: of ::ffff:127.0.0.1 it is 127.0.0.1, the same address."""
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    if not isinstance(ip, IPv6Address):
        return ip.compressed
    return None if ip.scope_id else (ip.ipv4_mapped or ip).compressed


def is_host(host: str) -> bool:
    """RFC 1123. If the last label is a number, resolvers read an IPv4 address in a spelling that `_ip` rejects."""
    return len(host) <= MAX_HOST and bool(_HOST.match(host)) and not _NUMBER.match(host.rpartition(".")[2])


def _is_domain(host: str) -> bool:
    """A domain of an Envoy virtual host: a host, or a host with a wildcard at one end."""
    if host.startswith("[") and host.endswith("]"):
        return _ip(host[1:-1]) is not None
    if _ip(host) is not None:
        return True
    # With the wildcard replaced by a letter the rest must be a host: *.example.com, *-eu.example.com, example.*
    if host.startswith("*"):
        host = "a" + host[1:]
    elif host.endswith("*"):
        host = host[:-1] + "a"
    return is_host(host)


def _percent(share: float) -> str:
    return f"{share * 100:g}%"
