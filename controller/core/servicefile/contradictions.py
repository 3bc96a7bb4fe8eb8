"""Values of a service file that are valid one by one and contradict each other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from controller.core.base.units import TOTAL_WEIGHT, format_duration, format_weight
from controller.core.model.endpoint_source import EndpointSource
from controller.core.model.route_rules import CANARY, STABLE, RequestHeaders
from controller.core.model.service import Policy, Service, Version

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is wrong with a field, and the fields it contradicts. It is reported only if those are valid themselves."""

    field: str
    message: str
    against: tuple[str, ...] = ()


def contradictions(service: Service) -> Iterator[Contradiction]:
    """Every contradiction in a service."""
    policy = service.policy
    for name, listed in (("fleets", service.fleets), ("hosts", service.hosts), ("policy.hooks", policy.hooks)):
        yield from _duplicates(name, listed)
    yield from _duplicates("upgrades", service.upgrades)
    yield from _streams(service)
    yield from _matches(service)
    yield from _mirror(service)
    yield from _own_clusters(service)
    if service.shield and not service.idempotent:
        yield Contradiction("shield", "sends a request twice, and idempotent: false forbids that", ("idempotent",))
    yield from _headers(service.request_headers)
    yield from _duplicates("path", [path.path for path in service.paths if path.exact])
    yield from _duplicates("prefix", [path.path for path in service.paths if not path.exact])
    yield from _duplicates("policy.metrics", [metric.name for metric in policy.metrics])
    yield from _metric_limits(policy)
    yield from _stable(service)
    yield from _endpoints(service)
    yield from _sources(service)
    for version in service.versions:
        yield from _upstream(service, version)
    yield from _fallback(service)
    yield from _wanted_canary(service)
    yield from _steps(policy)
    yield from _shadow(service)
    yield from _approvals(policy)
    yield from _times(service)
    errors = policy.errors
    if errors.max is not None and errors.max < errors.margin:
        message = (
            f"{errors.max * 100:g}% is below the margin of {errors.margin * 100:g}%: less than what counts as harm"
        )
        yield Contradiction("policy.errors.max", message, ("policy.errors.margin",))


def _matches(service: Service) -> Iterator[Contradiction]:
    for i, rule in enumerate(service.match):
        field, version = f"match[{i}].to", service.version(rule.to)
        if rule.to in (CANARY, STABLE):
            if version:
                message = f"is ambiguous: a version is named {rule.to}, which stands for the {rule.to} of a rollout"
                yield Contradiction(field, message, ("versions",))
        elif version is None:
            message = f"{rule.to} is not among the versions, nor is it canary or stable"
            yield Contradiction(field, message, ("versions",))
        elif not version.has_servers:
            yield Contradiction(field, f"versions.{rule.to} has no endpoints", ("versions",))
        if rule.conditions in [earlier.conditions for earlier in service.match[:i]]:
            yield Contradiction(f"match[{i}]", "an earlier rule has the same conditions: this one is never reached")


def _own_clusters(service: Service) -> Iterator[Contradiction]:
    """In a cluster of the operator's own, requests that the weights did not send there would be judged with the others,
    and what is set in it is in Envoy's own file."""
    if not service.own_clusters:
        return
    apart: dict[str, object] = {"match": service.match, "mirror": service.mirror, "shield": service.shield}
    apart["policy.steps"] = service.policy.shadow
    for field in (name for name, given in apart.items() if given):
        message = "needs clusters of Haldane's: in your own its requests could not be told from those that are judged"
        yield Contradiction(field, message, ("clusters",))
    if service.envoy.cluster:
        yield Contradiction("envoy.cluster", "is in your own Envoy's file with clusters: own", ("clusters",))
    owners: dict[str, str] = {}
    for version in service.versions:
        owner = owners.setdefault(version.cluster, version.name)
        if owner != version.name:
            message = f"{version.cluster} is the cluster of {owner} too: a cluster judged against itself shows no harm"
            yield Contradiction(f"versions.{version.name}.cluster", message, ("versions",))


def _mirror(service: Service) -> Iterator[Contradiction]:
    mirror = service.mirror
    if mirror is None:
        return
    version = service.version(mirror.to)
    if version is None:
        yield Contradiction("mirror.to", f"{mirror.to} is not among the versions", ("versions",))
    elif not version.has_servers:
        yield Contradiction("mirror.to", f"versions.{mirror.to} has no endpoints", ("versions",))
    elif mirror.to == service.stable:
        yield Contradiction("mirror.to", f"{mirror.to} is the stable: it has the requests themselves", ("stable",))
    if not service.idempotent:
        message = "sends a request to two versions, and idempotent: false forbids that"
        yield Contradiction("mirror", message, ("idempotent",))


def _streams(service: Service) -> Iterator[Contradiction]:
    of_streams = {
        "idle_timeout": service.idle_timeout,
        "max_duration": service.max_duration,
        "upgrades": service.upgrades,
        "policy.latency.ttft_tolerance": service.policy.latency.ttft_tolerance,
    }
    if not service.streaming:
        for key, value in of_streams.items():
            if value:
                yield Contradiction(key, "is for streams: it needs streaming: true", ("streaming",))
        return
    timeout = format_duration(service.timeout)
    if service.idle_timeout is not None and service.idle_timeout < service.timeout:
        message = f"is below the timeout of {timeout}: a stream is idle while its first byte is awaited"
        yield Contradiction("idle_timeout", message, ("timeout",))
    if service.max_duration is not None and service.max_duration < service.timeout:
        yield Contradiction("max_duration", f"is below the timeout of {timeout}, within which it begins", ("timeout",))


def _headers(headers: RequestHeaders) -> Iterator[Contradiction]:
    yield from _duplicates("request_headers.remove", headers.remove)
    for name, _ in headers.add:
        if name in headers.remove:
            yield Contradiction("request_headers.remove", f"{name} is added too", ("request_headers.add",))


def _metric_limits(policy: Policy) -> Iterator[Contradiction]:
    for i, metric in enumerate(policy.metrics):
        if metric.min is not None and metric.max is not None and metric.min >= metric.max:
            field = f"policy.metrics[{i}]"
            message = f"{metric.min:g} is not below the maximum of {metric.max:g}: no value lies between them"
            yield Contradiction(f"{field}.min", message, (f"{field}.max",))


def _stable(service: Service) -> Iterator[Contradiction]:
    stable = service.version(service.stable)
    if stable is None:
        known = ", ".join(version.name for version in service.versions)
        yield Contradiction("stable", f"{service.stable} is not among the versions: {known}", ("versions",))
    elif not stable.has_servers:
        message = f"versions.{stable.name} has no endpoints, and the stable carries the traffic"
        yield Contradiction("stable", message, ("versions",))


def _endpoints(service: Service) -> Iterator[Contradiction]:
    """An endpoint of two versions would be judged against itself: its harm would show on both sides."""
    owners: dict[str, str] = {}
    for version in service.versions:
        path = f"versions.{version.name}.endpoints"
        addresses = list(map(str, version.endpoints))
        yield from _duplicates(path, addresses)
        for address in addresses:
            owner = owners.setdefault(address, version.name)
            if owner != version.name:
                message = f"{address} is an endpoint of {owner} too: an endpoint judged against itself shows no harm"
                yield Contradiction(path, message, ("versions",))
        if any(e.path for e in version.endpoints) and not all(e.is_address for e in version.endpoints):
            yield Contradiction(path, "a Unix socket cannot stand beside a host name: give its IP address")


def _sources(service: Service) -> Iterator[Contradiction]:
    """Two versions of one source have the same endpoints."""
    owners: dict[EndpointSource, str] = {}
    for version in service.versions:
        if version.source and (owner := owners.setdefault(version.source, version.name)) != version.name:
            message = f"{version.source} is the source of {owner} too: an endpoint judged against itself shows no harm"
            yield Contradiction(f"versions.{version.name}", message, ("versions",))


def _upstream(service: Service, version: Version) -> Iterator[Contradiction]:
    """What contradicts itself in how a version is reached."""
    upstream, path = version.upstream, f"versions.{version.name}"
    if upstream.http2 is False and service.protocol == "grpc":
        yield Contradiction(f"{path}.http2", "gRPC needs HTTP/2", ("protocol",))
    if upstream.health and upstream.health.kind == "grpc" and not service.upstream_of(version).http2:
        message = "gRPC needs HTTP/2: it is for protocol: grpc, or with http2: true"
        yield Contradiction(f"{path}.health.grpc", message, ("protocol", f"{path}.http2"))
    if upstream.slow_start and upstream.balance in ("ring_hash", "maglev"):
        message = f"{upstream.balance} sends each request to its own endpoint from the beginning"
        yield Contradiction(f"{path}.slow_start", message, (f"{path}.balance",))


def _fallback(service: Service) -> Iterator[Contradiction]:
    fallback = service.fallback
    if fallback is None:
        if service.policy.fallback == "automatic":
            yield Contradiction("policy.fallback", "automatic needs a fallback to be declared", ("fallback",))
        return
    if fallback.version is None:
        return
    version = service.version(fallback.version)
    message = ""
    if version is None:
        message = f"{fallback.version} is not among the versions"
    elif not version.has_servers:
        message = f"versions.{version.name} has no endpoints"
    elif version.name == service.stable:
        message = f"{version.name} is the stable: a fallback is for when the stable is broken"
    if message:
        yield Contradiction("fallback.version", message, ("versions", "stable"))


def _wanted_canary(service: Service) -> Iterator[Contradiction]:
    version = service.version(service.wanted_canary)
    if service.wanted_canary and version is None:
        yield Contradiction("rollout.canary", f"{service.wanted_canary} is not among the versions", ("versions",))
    elif version and not version.has_servers:
        yield Contradiction("rollout.canary", f"versions.{version.name} has no endpoints", ("versions",))


def _steps(policy: Policy) -> Iterator[Contradiction]:
    if not policy.steps:
        yield Contradiction("policy.steps", "at least one step is needed, such as [5%, 25%]")
    for before, after in zip(policy.steps, policy.steps[1:], strict=False):
        if after <= before:
            message = f"must rise: {format_weight(after)} follows {format_weight(before)}"
            yield Contradiction("policy.steps", message)
            return


def _shadow(service: Service) -> Iterator[Contradiction]:
    policy = service.policy
    if policy.shadow is None:
        return
    if len(policy.steps) == 1:
        message = "a step with a weight must follow the shadow step, such as [shadow 10m, 5%]"
        yield Contradiction("policy.steps", message)
    if not service.idempotent:
        message = "a shadow step sends a request to two versions, and idempotent: false forbids that"
        yield Contradiction("policy.steps", message, ("idempotent",))


def _approvals(policy: Policy) -> Iterator[Contradiction]:
    yield from _duplicates("policy.approve", [format_weight(weight) for weight in policy.approve])
    possible = [*policy.steps[1:], TOTAL_WEIGHT]
    for i, weight in enumerate(policy.approve):
        if weight in possible:
            continue
        message = (
            f"{format_weight(weight)} is not a step; approval is possible at {', '.join(map(format_weight, possible))}"
        )
        if weight in policy.steps:
            message = f"{format_weight(weight)} is the first step: starting the rollout approves it"
        yield Contradiction(f"policy.approve[{i}]", message, ("policy.approve", "policy.steps"))


def _times(service: Service) -> Iterator[Contradiction]:
    policy = service.policy
    # The warm-up counts towards the first step's dwell.
    first = policy.shadow.dwell if policy.shadow else policy.dwell
    least = max(policy.warmup, first) + (len(policy.steps) - 1) * policy.dwell
    if policy.deadline < least:
        message = f"ends before the last step can: warm-up and dwells take {format_duration(least)}"
        yield Contradiction("policy.deadline", message, ("policy.steps", "policy.dwell", "policy.warmup"))
    p99 = policy.latency.p99
    key, longest = ("max_duration", service.max_duration) if service.streaming else ("timeout", service.timeout)
    if p99 is not None and longest is not None and p99 >= longest:
        message = f"must be below the {key} of {format_duration(longest)}: no response takes longer"
        yield Contradiction("policy.latency.p99", message, (key,))


def _duplicates(field: str, entries: Sequence[T]) -> Iterator[Contradiction]:
    """The first entry that is listed a second time."""
    seen: set[T] = set()
    for entry in entries:
        if entry in seen:
            yield Contradiction(field, f"{entry} is listed twice")
            return
        seen.add(entry)
