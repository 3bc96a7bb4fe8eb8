"""What is said of a valid service file: what cannot be known of its service, and who does not get all of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from controller.core.model.envoy_fields import EnvoyFields
from controller.core.model.route_rules import RequestHeaders, Retries
from controller.core.model.service import Service


@dataclass(frozen=True, slots=True)
class Note:
    """What is said of a field. Nothing is wrong with it."""

    field: str
    message: str


def notes(service: Service) -> Iterator[Note]:
    """Every note on a service."""
    if service.route_config:
        first_token = ", and times to the first token," if service.streaming else ""
        message = (
            f"responses that break off after their headers and clients that give up{first_token} are known only if "
            "your listener has Haldane's access loggers"
        )
        yield Note("route_config", message)
    for version in service.versions:
        if version.source:
            message = f"its endpoints are what each controller reads: {version.source}"
            yield Note(f"versions.{version.name}", message)
    if service.wanted_canary:
        message = "is started by a controller that applies this file from its folder, and by no other"
        yield Note("rollout.canary", message)
    if service.own_clusters:
        message = "all that goes to these clusters is judged: give versions clusters that no route of your own uses"
        yield Note("clusters", message)
    if service.protocol == "grpc" and not service.own_clusters:
        missing = [*_not_of_routes(service), *_not_of_versions(service)]
        if missing:
            yield Note("protocol", f"gRPC clients without a proxy do not have {', '.join(missing)}")
    elif service.protocol == "grpc":
        yield Note("clusters", "gRPC clients without a proxy are not served")


def _not_of_routes(service: Service) -> Iterator[str]:
    """What the service asks of its routes, and gRPC does not support."""
    if any(condition.source != "header" for rule in service.match for condition in rule.conditions):
        yield "match by query and cookie"
    asked = {
        "sticky": service.sticky,
        "mirror": service.mirror,
        "the shadow step": service.policy.shadow,
        "shield": service.shield,
        "retry": service.retry != Retries(),
        "request_headers": service.request_headers != RequestHeaders(),
        "idle_timeout": service.idle_timeout,
        "upgrades": service.upgrades,
        "envoy": service.envoy != EnvoyFields(),
        "the fallback's fixed response": service.fallback and service.fallback.version is None,
    }
    yield from (name for name, value in asked.items() if value)


def _not_of_versions(service: Service) -> Iterator[str]:
    """What the versions ask of their connections, and gRPC does not support."""
    upstreams = [version.upstream for version in service.versions]
    asked = {
        "tls": any(upstream.tls for upstream in upstreams),
        "health": any(upstream.health for upstream in upstreams),
        "limits.connections": any(upstream.limits.connections for upstream in upstreams),
        "limits.pending": any(upstream.limits.pending for upstream in upstreams),
        "balance: maglev": any(upstream.balance == "maglev" for upstream in upstreams),
        "slow_start": any(upstream.slow_start for upstream in upstreams),
        "Unix sockets": any(endpoint.path for version in service.versions for endpoint in version.endpoints),
    }
    yield from (name for name, value in asked.items() if value)
