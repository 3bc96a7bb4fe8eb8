"""Services as rows of a table and, one in full, as lines. Pure; `now` is Unix seconds."""

from collections.abc import Iterator

from controller.cli.text.lines import awaited, conditions, draining, freeze_line, source_problems
from controller.cli.text.values import (
    NONE,
    format_actor,
    format_proxies,
    format_scope,
    format_span,
    format_step_weight,
    format_time,
    format_weights,
)
from controller.core.base.text import clean
from controller.core.base.units import counted
from controller.pb.haldane.admin.v1 import admin_pb2 as pb

SERVICE_HEADER = ("SERVICE", "PHASE", "STABLE", "CANARY", "WEIGHTS", "PROXIES", "VERDICT", "FROZEN")


def service_cells(service: pb.Service) -> list[str]:
    """The row of a service, under `SERVICE_HEADER`."""
    rollout = service.rollout
    return [
        service.name,
        rollout.phase or "IDLE",
        service.stable,
        rollout.canary or NONE,
        format_weights(service.weights, service.stable),
        f"{service.proxies_synced}/{service.proxies_total}",
        "stable: harm" if rollout.stable_verdict == "harm" else _verdict(rollout),
        "; ".join(f"{f.mode}: {format_scope(f.scope)}, {format_actor(f)}" for f in service.freezes) or NONE,
    ]


def broken_lines(response: pb.ListServicesResponse) -> Iterator[str]:
    """What is wrong with the store, with services that are not served as declared, and with
    records that cannot be read; and why no verdict is known, if none is."""
    if response.store_problem:
        yield f"store: {clean(response.store_problem)}"
    for problem in dict.fromkeys(service.judged.problem for service in response.services):
        if problem:
            yield clean(problem)
    for service in response.services:
        if service.problem:
            yield f"{clean(service.name)} is served as it was: {clean(service.problem)}"
        for text in source_problems(service.sources):
            yield f"{clean(service.name)}: {clean(text)}"
    for name, problem in sorted(response.files.items()):
        yield f"{clean(name)}: {clean(problem)}"
    for name, problem in sorted(response.broken.items()):
        yield f"the record of {clean(name)} cannot be read: {clean(problem)}"


def service_rollout(service: pb.Service) -> pb.Rollout:
    """The service's rollout; for one that never had a rollout an IDLE one, with what the service
    says."""
    if service.HasField("rollout"):
        return service.rollout
    return pb.Rollout(
        service=service.name,
        stable=service.stable,
        phase="IDLE",
        weights=service.weights,
        freezes=service.freezes,
        diverted=service.diverted,
        proxies_synced=service.proxies_synced,
        proxies_total=service.proxies_total,
        endpoints=service.endpoints,
        sources=service.sources,
    )


def service_lines(service: pb.Service, now: float) -> list[str]:
    """A service in full: facts, one on a line, and its service file."""
    facts = [
        ("service", service.name),
        ("stable", service.stable),
        ("traffic", format_weights(service.weights, service.stable)),
        ("versions", ", ".join(service.versions)),
        *([("health", _endpoints(service))] if service.endpoints else []),
        *(
            ("source", _source(name, service.sources[name], now))
            for name in service.versions
            if name in service.sources
        ),
        ("listen", service.listen or f"your own listener, by the route configuration {service.route_config}"),
        ("fleets", ", ".join(service.fleets) or "every fleet"),
        ("proxies", format_proxies(service.proxies_synced, service.proxies_total)),
        ("revision", str(service.revision)),
        *([("file", f"{service.applied_from}, in the folder whose files are applied")] if service.applied_from else []),
        *([("PROBLEM", f"served as it was, not as declared: {service.problem}")] if service.problem else []),
        *(("ENDPOINTS", text) for text in source_problems(service.sources)),
        *judged_facts(service.judged, now),
        *([("STORE", service.store_problem)] if service.store_problem else []),
        *([("fallback", f"ON THE FALLBACK: {service.diverted}")] if service.diverted else []),
        *(("frozen", freeze_line(freeze, now)) for freeze in service.freezes),
    ]
    if service.HasField("rollout"):
        facts += _rollout_facts(service.rollout, now)
    lines = [f"{name + ':' if name else '':<10}{clean(value)}" for name, value in facts]
    return [*lines, "", "declared:", *(f"  {clean(line)}" for line in service.yaml.splitlines())]


def judged_facts(judged: pb.Judged, now: float) -> Iterator[tuple[str, str]]:
    """Which controller judges, and as of when that is known, where there are several."""
    if judged.problem:
        yield "JUDGED", judged.problem
    elif judged.controller:
        yield "judged", f"by {judged.controller}, as of {format_time(judged.as_of, now)}"


def _endpoints(service: pb.Service) -> str:
    """How many endpoints of each version are healthy, of how many, for the proxy that has the fewest."""
    known = ((name, service.endpoints[name]) for name in service.versions if name in service.endpoints)
    return ", ".join(f"{health.healthy} of {counted(health.total, 'endpoint')} of {name}" for name, health in known)


def _source(version: str, source: pb.EndpointSource, now: float) -> str:
    """Where the endpoints of a version come from, and how many it has."""
    known = counted(source.endpoints, "endpoint") if source.read else "not read yet"
    if source.last_known:
        known += f" as of {format_time(source.last_known, now)}, from before the restart"
    return f"{version}: {source.source}, {known}"


def _rollout_facts(rollout: pb.Rollout, now: float) -> list[tuple[str, str]]:
    steps = ", ".join(map(format_step_weight, rollout.steps))
    reason = f", {rollout.phase_reason}" if rollout.phase_reason else ""
    return [
        ("rollout", f"{rollout.canary}: {rollout.phase}{reason}"),
        ("started", f"{format_time(rollout.started_at, now)} ({format_span(now - rollout.started_at)} ago)"),
        ("step", f"{rollout.step + 1} of {len(rollout.steps)}: {steps}"),
        ("verdict", rollout.verdict or NONE),
        *(("", detail.text) for detail in rollout.details if not rollout.judged.problem),
        *(("draining", text) for text in draining(rollout)),
        *(("next", text) for text in awaited(rollout)),
        *([("watch", f"stable {rollout.stable_verdict}")] if rollout.stable_verdict else []),
        *(("", text) for text in rollout.stable_reasons),
    ]


def _verdict(rollout: pb.Rollout) -> str:
    """The verdict and its first condition, so that a rollout without reports does not look like a
    quiet one."""
    return ": ".join([rollout.verdict or NONE, *(condition.code for condition in conditions(rollout)[:1])])
