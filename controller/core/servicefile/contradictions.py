"""Values of a service file that are right one by one and wrong together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from controller.core.base.units import TOTAL_WEIGHT, format_duration, format_weight
from controller.core.model.service import Endpoint, Policy, Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What is wrong with a field, and the fields that it is wrong against: it counts only where those are right."""

    field: str
    message: str
    against: tuple[str, ...] = ()


def contradictions(service: Service) -> Iterator[Contradiction]:
    """Every contradiction in a service."""
    policy = service.policy
    for name, listed in (("fleets", service.fleets), ("hosts", service.hosts), ("policy.hooks", policy.hooks)):
        yield from _twice(name, listed)
    yield from _twice("policy.metrics", [metric.name for metric in policy.metrics])
    yield from _stable(service)
    yield from _endpoints(service)
    yield from _fallback(service)
    yield from _steps(policy)
    yield from _approvals(policy)
    yield from _times(service)
    errors = policy.errors
    if errors.max is not None and errors.max < errors.margin:
        told = f"{errors.max * 100:g}% is below the margin of {errors.margin * 100:g}%: less than what counts as harm"
        yield Contradiction("policy.errors.max", told, ("policy.errors.margin",))


def _stable(service: Service) -> Iterator[Contradiction]:
    stable = service.version(service.stable)
    if stable is None:
        known = ", ".join(version.name for version in service.versions)
        yield Contradiction("stable", f"{service.stable} is not among the versions: {known}", ("versions",))
    elif not stable.endpoints:
        told = f"versions.{stable.name} has no endpoints, and the stable carries the traffic"
        yield Contradiction("stable", told, ("versions",))


def _endpoints(service: Service) -> Iterator[Contradiction]:
    """A server behind two versions would be judged against itself, and its harm would show on both sides."""
    owners: dict[Endpoint, str] = {}
    for version in service.versions:
        path = f"versions.{version.name}.endpoints"
        yield from _twice(path, version.endpoints)
        for endpoint in version.endpoints:
            owner = owners.setdefault(endpoint, version.name)
            if owner != version.name:
                told = f"{endpoint} is an endpoint of {owner} too: a server judged against itself shows no harm"
                yield Contradiction(path, told, ("versions",))


def _fallback(service: Service) -> Iterator[Contradiction]:
    fallback = service.fallback
    if fallback is None:
        if service.policy.fallback == "automatic":
            yield Contradiction("policy.fallback", "automatic needs a fallback to be declared", ("fallback",))
        return
    if fallback.version is None:
        return
    version = service.version(fallback.version)
    told = ""
    if version is None:
        told = f"{fallback.version} is not among the versions"
    elif not version.endpoints:
        told = f"versions.{version.name} has no endpoints"
    elif version.name == service.stable:
        told = f"{version.name} is the stable: a fallback is for when the stable is broken"
    if told:
        yield Contradiction("fallback.version", told, ("versions", "stable"))


def _steps(policy: Policy) -> Iterator[Contradiction]:
    if not policy.steps:
        yield Contradiction("policy.steps", "at least one step is needed, such as [5%, 25%]")
    for before, after in zip(policy.steps, policy.steps[1:], strict=False):
        if after <= before:
            told = f"must rise: {format_weight(after)} follows {format_weight(before)}"
            yield Contradiction("policy.steps", told)
            return


def _approvals(policy: Policy) -> Iterator[Contradiction]:
    yield from _twice("policy.approve", [format_weight(weight) for weight in policy.approve])
    possible = [*policy.steps[1:], TOTAL_WEIGHT]
    for i, weight in enumerate(policy.approve):
        if weight in possible:
            continue
        told = f"{format_weight(weight)} is no step; approval can be asked at {', '.join(map(format_weight, possible))}"
        if weight in policy.steps:
            told = f"{format_weight(weight)} is the first step, and starting the rollout is the yes to that"
        yield Contradiction(f"policy.approve[{i}]", told, ("policy.approve", "policy.steps"))


def _times(service: Service) -> Iterator[Contradiction]:
    policy = service.policy
    # The warm-up counts towards the first step's dwell.
    least = max(policy.warmup, policy.dwell) + (len(policy.steps) - 1) * policy.dwell
    if policy.deadline < least:
        told = f"is over before the steps can be: warm-up and dwells take {format_duration(least)}"
        yield Contradiction("policy.deadline", told, ("policy.steps", "policy.dwell", "policy.warmup"))
    p99 = policy.latency.p99
    if p99 is not None and p99 >= service.timeout:
        told = f"must be below the timeout of {format_duration(service.timeout)}: no answer takes longer"
        yield Contradiction("policy.latency.p99", told, ("timeout",))


def _twice(field: str, entries: Sequence[T]) -> Iterator[Contradiction]:
    """The first entry that stands there a second time."""
    seen: set[T] = set()
    for entry in entries:
        if entry in seen:
            yield Contradiction(field, f"{entry} stands there twice")
            return
        seen.add(entry)
