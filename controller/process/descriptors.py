"""The number of files and connections that this process may have open, and who may have how many of them."""

import resource
from typing import NamedTuple

MAX_RESERVED = 512
"""Descriptors for the store, logs, secrets, and requests to hooks, recipients and Prometheus (100 each at most)."""
MAX_CONNECTIONS = 512
"""Connections of operators, on each of their ports."""
UNLIMITED = 1_048_576
"""What counts as the limit where there is none."""
FOR_EACH_ADMIN = 3
"""Descriptors of one connection to the admin port: its own, and both ends of the one to the gRPC server behind it."""


class DescriptorShares(NamedTuple):
    """The most connections that each port may have. In sum they leave what the controller needs to act."""

    xds: int
    admin: int
    http: int


def raise_descriptor_limit() -> int:
    """Raise this process's limit to the most that it may have, and return that.

    Shells and systemd set it to 1024 for programs that use select(2), which fails beyond. Each proxy has a connection.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most if most != resource.RLIM_INFINITY else UNLIMITED


def share_descriptors(limit: int) -> DescriptorShares:
    """The shares of a process that may have `limit` open: operators and the reserve first, proxies get the rest."""
    http = min(MAX_CONNECTIONS, limit // 8)
    admin = min(MAX_CONNECTIONS, limit // 16)
    reserved = min(MAX_RESERVED, limit // 4)
    return DescriptorShares(limit - reserved - http - admin * FOR_EACH_ADMIN, admin, http)
