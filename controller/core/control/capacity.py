"""Stable's capacity while a rollout runs: a rollback must have somewhere to go."""

from math import ceil
from typing import NamedTuple

from controller.core.traffic.endpoint_health import EndpointHealth

_ROUNDING = 1e-9


class CapacityGap(NamedTuple):
    """Stable has fewer healthy endpoints than it must keep: how many it has, must have, and had at the start."""

    healthy: int
    needed: int
    at_start: int


def capacity_gap(keep: float, at_start: int | None, health: EndpointHealth | None) -> CapacityGap | None:
    """The gap, if stable's healthy endpoints are below the share `keep` of those at the start; None also while either
    is not known. The proxy that sees the fewest counts."""
    if at_start is None or health is None:
        return None
    needed = ceil(keep * at_start - _ROUNDING)
    return CapacityGap(health.fewest, needed, at_start) if health.fewest < needed else None
