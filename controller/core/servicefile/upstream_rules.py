"""The rules for single fields of how a version is reached, as `field_rules` has them for the other fields."""

import re
from ipaddress import ip_address

from controller.core.servicefile.field_rules import MAX_HOST, is_host
from controller.core.servicefile.yaml_tree import quoted

MAX_FILE = 1024
"""Characters of a file's path."""

OWN_CLUSTER = r"[A-Za-z0-9_-]{1,255}"
"""The pattern of the name of a cluster that Envoy has already."""

_FILE = re.compile(r"/[!-~]*\Z", re.ASCII)
_CLUSTER = re.compile(r"[!-~]{1,255}\Z", re.ASCII)
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]{1,1024}\Z", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z", re.ASCII)


def read_true(text: str) -> bool:
    """Only true: the key is left out otherwise."""
    if text != "true":
        raise ValueError(f"true is needed, not {quoted(text)}; without it leave the key out")
    return True


def read_file(text: str) -> str:
    """The absolute path of a file on the machine of each Envoy."""
    if len(text) > MAX_FILE or not _FILE.match(text):
        raise ValueError(
            f"the absolute path of a file is needed, at most {MAX_FILE} characters without spaces, not {quoted(text)}"
        )
    return text


def read_cluster(text: str) -> str:
    """The name of a cluster in Envoy's bootstrap."""
    if not _CLUSTER.match(text):
        raise ValueError(f"the name of a cluster has 1 to 255 printable characters and no space, unlike {quoted(text)}")
    return text


def read_own_cluster(text: str) -> str:
    """The name of a cluster in Envoy's bootstrap that is a version. Envoy's statistics have it as it is, which they do
    not with dots and colons; with slashes it could be the name of one of Haldane's."""
    if not re.fullmatch(OWN_CLUSTER, text):
        raise ValueError(f"a cluster of your own has 1 to 255 letters, digits, '_' and '-', unlike {quoted(text)}")
    return text


def read_sni(text: str) -> str:
    """The server name that a TLS client asks for: a host name, never an address."""
    name = text.lower()
    if not is_host(name):
        raise ValueError(f"a host name such as model.internal is needed, not {quoted(text)}")
    return name


def read_san(text: str) -> str:
    """A name that a certificate carries: a host name, an IP address or a URI such as spiffe://prod/model."""
    if _URI.match(text):
        return text
    try:
        return ip_address(text).compressed
    except ValueError:
        if len(text) <= MAX_HOST and is_host(text.lower()):
            return text.lower()
    raise ValueError(f"a host name, an IP address or a URI such as spiffe://prod/model is needed, not {quoted(text)}")


def read_zone(text: str) -> str:
    """The name of a zone as Envoy knows it."""
    if not _ZONE.match(text):
        raise ValueError(f"a zone has 1 to 63 letters, digits, '.', '_' and '-', unlike {quoted(text)}")
    return text
