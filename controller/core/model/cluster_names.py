"""The names of Envoy's clusters and of their statistics, and what a request in each of them means.

This is the one place that says it: routing, telemetry and the judge go by `Role`.
"""

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """Why a request went to a version. A version has a cluster for each of its roles, all with the same endpoints, so
    that Envoy counts them apart."""

    LIVE = "live"
    """The weights sent it there at random. Only these requests are a fair sample, and only these are judged."""
    PINNED = "pinned"
    """A rule of the service's `match` sent it there: the clients differ from everybody else's."""
    SHIELD = "shield"
    """It failed on the canary and was tried again on this version."""
    SHIELDED = "shielded"
    """The way to the canary of a shielded service: it is tried, and after a failure stable's cluster of the role
    `shield`. Load reports count each attempt in the cluster that it was sent to; what metrics say of this one is of the
    canary's live requests."""
    MIRROR = "mirror"
    """A copy: its client gets the response of another version. Copies are drawn at random from stable's live requests,
    and judged in a shadow step alone."""


class ClusterId(NamedTuple):
    """A cluster: which version of which service, and for which requests."""

    service: str
    version: str
    role: Role = Role.LIVE


def cluster_name(service: str, version: str, role: Role = Role.LIVE) -> str:
    """The name of a version's cluster. The slash occurs in no service or version name."""
    return f"{service}/{version}" if role is Role.LIVE else f"{service}/{version}/{role}"


def cluster_parts(name: str) -> ClusterId | None:
    """The parts of a cluster's name; None if Haldane did not name it."""
    service, _, rest = name.partition("/")
    version, slash, role = rest.partition("/")
    if not service or not version or (slash and role not in _NAMED):
        return None
    return ClusterId(service, version, Role(role) if slash else Role.LIVE)


def stats_name(cluster: str) -> str:
    """A cluster's name in Envoy's statistics, which are split at dots. No name contains an equals sign."""
    return cluster.replace(".", "=")


_NAMED = frozenset(role.value for role in Role if role is not Role.LIVE)
