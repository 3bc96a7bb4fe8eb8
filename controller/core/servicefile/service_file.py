"""The text of a service file -> a `Service`, or every violation in it at once, each with its field and line.

`yamltree` keeps the text's form, `sections` its keys, `fields` the rules for single values, `contradictions` those
between several; here is what a service file is made of. docs/service-file.md tells the same to people.
"""

from dataclasses import dataclass

from controller.core.base.errors import Violation
from controller.core.model.service import (
    Endpoint,
    ErrorPolicy,
    Fallback,
    LatencyPolicy,
    Listen,
    MetricPolicy,
    Policy,
    Service,
    Version,
)
from controller.core.servicefile.contradictions import contradictions
from controller.core.servicefile.fields import (
    duration_within,
    number_within,
    read_address,
    read_approval,
    read_domain,
    read_endpoint,
    read_name,
    read_port,
    read_prefix,
    read_response,
    read_status,
    read_step,
    share_within,
)
from controller.core.servicefile.sections import Report, Section, one_of
from controller.core.servicefile.yaml_tree import Table, read_tree

MAX_VERSIONS = 20
MAX_ENDPOINTS = 1000
"""Of one version."""
MAX_STEPS = 100
MAX_LIST = 100
"""Hosts and fleets of one service, hooks of its policy."""

MAX_METRICS = 10
"""Custom metrics of one policy: they share one part of the error budget."""

TIMEOUT = (0.001, 3600.0)
"""Seconds. Zero would mean 'none' to Envoy, and a hung server would then never count as an error."""
DWELL = (0.1, 7 * 86_400.0)
"""Seconds. Envoys report ten times a second at most, so less would be no look at all."""
WARMUP = (0.0, 86_400.0)
"""Seconds; zero: judge everything from the first request on."""
BAKE = (0.0, 30 * 86_400.0)
"""Seconds; zero: promoted as soon as the proxies have confirmed. The old version is kept up for all that time."""
DEADLINE = (1.0, 30 * 86_400.0)
"""Seconds."""
FALSE_ROLLBACK = (0.000_001, 0.5)
"""At zero nothing could ever be rolled back; above one half a coin does better."""
CONFIDENCE = (0.5, 0.999_999)
"""At 100% nothing could ever be promoted."""
MARGIN = (0.000_001, 0.5)
"""At zero no amount of traffic shows that a canary is no worse."""
RATIO = (1.0, 100.0)
"""Below 1 a canary as good as the stable would count as harm."""
ERRORS_MAX = (0.000_001, 1.0)
TOLERANCE = (0.01, 1.0)
"""Below 1% no histogram tells a difference."""
METRIC_MARGIN = (0.0001, 1.0)
P99 = (0.001, 3600.0)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Linted:
    """The result of reading a service file: the service, or every violation in it."""

    service: Service | None
    violations: tuple[Violation, ...]


def read_service(text: str) -> Linted:
    """Reads a service file. Never raises: whatever is wrong comes back as violations, by line."""
    root, malformed = read_tree(text)
    report = Report(malformed)
    service = None
    if isinstance(root, Table):
        service = _read_service(Section(report, "", root))
        for found in contradictions(service):
            if report.clean(found.field, *found.against):
                report.add(found.field, found.message)
    elif not malformed:
        # An empty document begins after its mark, which may be after the end of the text.
        line = min(root.line, len(text.splitlines())) if root else 1
        report.add("", "a service file is a mapping that begins with 'service: NAME'", max(1, line))
    return Linted(None, report.all()) if report.found else Linted(service, ())


def _read_service(top: Section) -> Service:
    top.require("service", "listen", "versions", "stable")
    service = Service(
        name=top.value("service", read_name, "", text=True),
        fleets=top.values("fleets", read_name, (), MAX_LIST, text=True),
        listen=_read_listen(top.section("listen")),
        hosts=top.values("hosts", read_domain, ("*",), MAX_LIST, text=True),
        prefix=top.value("prefix", read_prefix, "/", text=True),
        protocol=top.value("protocol", one_of("http", "grpc"), "http", text=True),
        timeout=top.value("timeout", duration_within(*TIMEOUT), 5.0),
        versions=_read_versions(top.section("versions")),
        stable=top.value("stable", read_name, "", text=True),
        fallback=_read_fallback(top),
        policy=_read_policy(top.section("policy")),
    )
    top.close()
    for key, given in (("fleets", service.fleets), ("hosts", service.hosts)):
        if key in top.table.entries and not given and top.report.clean(key):
            top.report.add(key, "an empty list would serve nobody: leave it out to serve all")
    return service


def _read_listen(section: Section) -> Listen:
    section.require("port")
    listen = Listen(
        address=section.value("address", read_address, "127.0.0.1", text=True), port=section.value("port", read_port, 0)
    )
    section.close()
    return listen


def _read_versions(section: Section) -> tuple[Version, ...]:
    names = list(section.table.entries)
    if section.there and not names and section.report.clean(section.path):
        section.report.add(section.path, "at least one version is needed")
    if len(names) > MAX_VERSIONS:
        section.report.add(section.path, f"at most {MAX_VERSIONS} versions, not {len(names)}")
        return ()
    return tuple(_read_version(section, name) for name in names)


def _read_version(versions: Section, name: str) -> Version:
    section = versions.section(name)
    try:
        read_name(name)
    except ValueError as error:
        versions.report.add(section.path, str(error))
    section.require("endpoints")
    endpoints: tuple[Endpoint, ...] = section.values("endpoints", read_endpoint, (), MAX_ENDPOINTS, text=True)
    section.close()
    return Version(name=name, endpoints=endpoints)


def _read_fallback(top: Section) -> Fallback | None:
    """A version, or a fixed response that the proxies give by themselves."""
    if "fallback" not in top.table.entries:
        top.taken.append("fallback")
        return None
    section = top.section("fallback")
    fallback = Fallback(
        version=section.value("version", read_name, None, text=True),
        status=section.value("status", read_status, 503),
        body=section.value("body", read_response, "", text=True),
    )
    section.close()
    given = section.table.entries.keys() & {"version", "status", "body"}
    if section.there and not given and section.report.clean(section.path):
        section.report.add(section.path, "name a version, or a status and a body to answer with")
    elif "version" in given and len(given) > 1:
        section.report.add(section.at("version"), "a fallback is a version or a fixed response, not both")
    return fallback


def _read_policy(section: Section) -> Policy:
    usual = Policy()
    policy = Policy(
        steps=section.values("steps", read_step, usual.steps, MAX_STEPS, text=False),
        dwell=section.value("dwell", duration_within(*DWELL), usual.dwell),
        warmup=section.value("warmup", duration_within(*WARMUP), usual.warmup),
        bake=section.value("bake", duration_within(*BAKE), usual.bake),
        false_rollback=section.value("false_rollback", share_within(*FALSE_ROLLBACK), usual.false_rollback),
        confidence=section.value("confidence", share_within(*CONFIDENCE), usual.confidence),
        errors=_read_errors(section.section("errors")),
        latency=_read_latency(section.section("latency")),
        deadline=section.value("deadline", duration_within(*DEADLINE), usual.deadline),
        on_insufficient=section.value(
            "on_insufficient", one_of("hold", "advance", "rollback"), usual.on_insufficient, text=True
        ),
        on_blind=section.value("on_blind", one_of("hold", "rollback"), usual.on_blind, text=True),
        fallback=section.value("fallback", one_of("manual", "automatic"), usual.fallback, text=True),
        approve=section.values("approve", read_approval, usual.approve, MAX_STEPS + 1, text=False),
        hooks=section.values("hooks", read_name, usual.hooks, MAX_LIST, text=True),
        metrics=tuple(map(_read_metric, section.sections("metrics", MAX_METRICS))),
    )
    section.close()
    return policy


def _read_metric(section: Section) -> MetricPolicy:
    section.require("name")
    metric = MetricPolicy(
        name=section.value("name", read_name, "", text=True),
        margin=section.value("margin", share_within(*METRIC_MARGIN), MetricPolicy(name="").margin),
    )
    section.close()
    return metric


def _read_errors(section: Section) -> ErrorPolicy:
    usual = ErrorPolicy()
    errors = ErrorPolicy(
        margin=section.value("margin", share_within(*MARGIN), usual.margin),
        ratio=section.value("ratio", number_within(*RATIO), usual.ratio),
        max=section.value("max", share_within(*ERRORS_MAX), None, null=True),
    )
    section.close()
    return errors


def _read_latency(section: Section) -> LatencyPolicy:
    usual = LatencyPolicy()
    latency = LatencyPolicy(
        tolerance=section.value("tolerance", share_within(*TOLERANCE), usual.tolerance),
        p99=section.value("p99", duration_within(*P99), None, null=True),
    )
    section.close()
    return latency
