"""The split of a service's traffic, as Envoy's admin interface reports it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.core.model.cluster_names import cluster_parts


@dataclass(frozen=True, slots=True)
class TrafficSplit:
    """The weights by which Envoy splits the service's traffic, and since when (seconds of
    `time.monotonic`)."""

    weights: dict[str, int]
    since: float


def to_monotonic(unix: float) -> float:
    """A Unix time on the monotonic clock, which request results are recorded by."""
    return unix - time.time() + time.monotonic()


def split_of(dump: Any, service: str) -> TrafficSplit | None:
    """The service's split in Envoy's config dump; None if no route configuration has it."""
    for config in dump.get("configs", []):
        for host in config["route_config"].get("virtual_hosts", []):
            for route in host.get("routes", []):
                weights = _weights(route.get("route", {}), service)
                if weights:
                    since = datetime.fromisoformat(config["last_updated"]).timestamp()
                    return TrafficSplit(weights, to_monotonic(since))
    return None


def requests_by_version(page: Any, service: str) -> dict[str, int]:
    """Version -> requests sent to it, in Envoy's list of clusters."""
    requests: dict[str, int] = {}
    for cluster in page.get("cluster_statuses", []):
        parts = cluster_parts(cluster["name"])
        if parts and parts.service == service:
            stats = [stat for host in cluster.get("host_statuses", []) for stat in host["stats"]]
            requests[parts.version] = sum(int(stat.get("value", 0)) for stat in stats if stat["name"] == "rq_total")
    return requests


def _weights(action: Mapping[str, Any], service: str) -> dict[str, int]:
    clusters = action.get("weighted_clusters", {}).get("clusters") or [
        {"name": action.get("cluster", ""), "weight": 10_000}
    ]
    weights = {}
    for cluster in clusters:
        parts = cluster_parts(cluster["name"])
        if parts and parts.service == service and cluster.get("weight"):
            weights[parts.version] = int(cluster["weight"])
    return weights
