"""The text of a service file -> a `Service`, or every violation in it at once, each with its field and line.

The steps: `yaml_tree` parses the text into nodes with lines, `section` reads mappings key by key, `field_rules` has the
rules for single values and `contradictions` those between several. This module has the keys of a service file.
docs/service-file.md is the reference for people.
"""

from dataclasses import dataclass

from controller.core.base.errors import Violation
from controller.core.model.route_rules import Mirror
from controller.core.model.service import (
    ErrorPolicy,
    Fallback,
    LatencyPolicy,
    MetricPolicy,
    Policy,
    Service,
    Shadow,
)
from controller.core.servicefile.contradictions import contradictions
from controller.core.servicefile.envoy_section import read_envoy
from controller.core.servicefile.field_rules import (
    duration_within,
    number_within,
    one_of,
    read_approval,
    read_bool,
    read_domain,
    read_holdback,
    read_limit,
    read_name,
    read_response,
    read_status,
    read_step,
    read_upgrade,
    share_within,
)
from controller.core.servicefile.listen_section import read_listen
from controller.core.servicefile.notes import notes
from controller.core.servicefile.route_section import (
    read_match,
    read_mirror,
    read_paths,
    read_request_headers,
    read_retry,
    read_sticky,
)
from controller.core.servicefile.section import Section
from controller.core.servicefile.version_section import read_versions
from controller.core.servicefile.violation_report import ViolationReport
from controller.core.servicefile.yaml_tree import MappingNode, read_tree

MAX_STEPS = 100
MAX_LIST = 100
"""Hosts and fleets of one service, hooks of its policy."""

MAX_METRICS = 10
"""Custom metrics of one policy. They share one part of the error budget."""

TIMEOUT = (0.001, 3600.0)
"""Seconds. Envoy reads zero as no timeout, and a hung request would then never count as an error."""
IDLE_TIMEOUT = (0.001, 86_400.0)
"""Seconds."""
MAX_DURATION = (0.001, 7 * 86_400.0)
"""Seconds."""
DWELL = (0.1, 7 * 86_400.0)
"""Seconds. An Envoy reports at most ten times a second, so a shorter dwell would see no report."""
WARMUP = (0.0, 86_400.0)
"""Seconds. Zero judges everything from the first request on."""
PATIENCE = (0.0, 86_400.0)
"""Seconds. Zero judges a cold canary as soon as the warm-up is over."""
BAKE = (0.0, 30 * 86_400.0)
"""Seconds. Zero promotes as soon as the proxies have ACKed."""
DEADLINE = (1.0, 30 * 86_400.0)
"""Seconds."""
FALSE_ROLLBACK = (0.000_001, 0.5)
"""At zero nothing could be rolled back; above one half a coin toss would be better."""
CONFIDENCE = (0.5, 0.999_999)
"""At 100% nothing could be promoted."""
MARGIN = (0.000_001, 0.5)
"""At zero no amount of traffic proves that a canary is no worse."""
RATIO = (1.0, 100.0)
"""Below 1 a canary as good as the stable would count as harm."""
ERRORS_MAX = (0.000_001, 1.0)
TOLERANCE = (0.01, 1.0)
"""Below 1% the histogram buckets cannot show a difference."""
METRIC_MARGIN = (0.0001, 1.0)
P99 = (0.001, 3600.0)
"""Seconds."""


@dataclass(frozen=True, slots=True)
class LintResult:
    """The result of reading a service file: the service, or every violation in it."""

    service: Service | None
    violations: tuple[Violation, ...]
    notes: tuple[Violation, ...] = ()
    """What is said of a valid one: see `notes`."""


def read_service(text: str) -> LintResult:
    """The service, or every violation ordered by line. Never raises."""
    root, malformed = read_tree(text)
    report = ViolationReport(malformed)
    service = None
    if isinstance(root, MappingNode):
        service = _read_service(Section(report, "", root))
        for contradiction in contradictions(service):
            if report.is_clean(contradiction.field, *contradiction.against):
                report.add(contradiction.field, contradiction.message)
    elif not malformed:
        # An empty document's mark may point behind the end of the text.
        line = min(root.line, len(text.splitlines())) if root else 1
        report.add("", "a service file is a mapping that begins with 'service: NAME'", max(1, line))
    if report.violations or service is None:
        return LintResult(None, report.in_order())
    found = (Violation(note.field, note.message, report.lines.get(note.field, 1)) for note in notes(service))
    return LintResult(service, (), tuple(found))


def _read_service(top: Section) -> Service:
    top.require("service", "versions", "stable")
    streaming, mirror = top.value("streaming", read_bool, False), read_mirror(top)
    envoy, manager = read_envoy(top)
    own_clusters = top.value("clusters", one_of("own"), "", text=True) == "own"
    service = Service(
        name=top.value("service", read_name, "", text=True),
        fleets=top.values("fleets", read_name, (), MAX_LIST, text=True),
        listen=read_listen(top, manager),
        route_config=top.value("route_config", read_name, "", text=True),
        hosts=top.values("hosts", read_domain, ("*",), MAX_LIST, text=True),
        paths=read_paths(top),
        match=read_match(top),
        sticky=read_sticky(top),
        protocol=top.value("protocol", one_of("http", "grpc"), "http", text=True),
        timeout=top.value("timeout", duration_within(*TIMEOUT), 5.0),
        streaming=streaming,
        idle_timeout=top.value("idle_timeout", duration_within(*IDLE_TIMEOUT), None, null=True),
        max_duration=top.value("max_duration", duration_within(*MAX_DURATION), None, null=True),
        upgrades=top.values("upgrades", read_upgrade, (), MAX_LIST, text=True),
        retry=read_retry(top.section("retry")),
        mirror=mirror,
        shield=top.value("shield", read_bool, False),
        idempotent=top.value("idempotent", read_bool, True),
        request_headers=read_request_headers(top.section("request_headers")),
        envoy=envoy,
        version_header=top.value("version_header", read_bool, True),
        own_clusters=own_clusters,
        versions=read_versions(top.section("versions"), own_clusters=own_clusters),
        stable=top.value("stable", read_name, "", text=True),
        fallback=_read_fallback(top),
        wanted_canary=_read_rollout(top.section("rollout")),
        policy=_read_policy(top.section("policy"), mirror, streaming=streaming),
    )
    top.close()
    _check_listener(top, manager)
    for key, given in (("fleets", service.fleets), ("hosts", service.hosts)):
        if key in top.mapping.entries and not given and top.report.is_clean(key):
            top.report.add(key, "an empty list matches nothing: omit the key to match everything")
    return service


def _check_listener(top: Section, manager: str) -> None:
    """Requests come by a listener of Haldane's, or by one of the operator's own: by one of them."""
    given = top.mapping.entries.keys() & {"listen", "route_config"}
    if not given:
        top.report.add("listen", "is missing: an address and a port, or route_config for a listener of your own")
    elif len(given) > 1 and top.report.is_clean("listen", "route_config"):
        top.report.add("route_config", "is for a listener of your own: leave listen out, or this")
    elif manager and "route_config" in given:
        top.report.add("envoy.http_connection_manager", "is in your own Envoy's file where route_config is")


def _read_fallback(top: Section) -> Fallback | None:
    """A version, or a fixed response that Envoy sends itself."""
    if "fallback" not in top.mapping.entries:
        top.read_keys.append("fallback")
        return None
    section = top.section("fallback")
    fallback = Fallback(
        version=section.value("version", read_name, None, text=True),
        status=section.value("status", read_status, 503),
        body=section.value("body", read_response, "", text=True),
    )
    section.close()
    given = section.mapping.entries.keys() & {"version", "status", "body"}
    if section.present and not given and section.report.is_clean(section.path):
        section.report.add(section.path, "name a version, or a status and a body to respond with")
    elif "version" in given and len(given) > 1:
        section.report.add(section.path_of("version"), "a fallback is a version or a fixed response, not both")
    return fallback


def _read_rollout(section: Section) -> str:
    section.require("canary")
    canary = section.value("canary", read_name, "", text=True)
    section.close()
    return canary


def _read_policy(section: Section, mirror: Mirror | None, *, streaming: bool) -> Policy:
    default = Policy()
    steps, shadow = _read_steps(section, mirror)
    policy = Policy(
        steps=steps,
        shadow=shadow,
        dwell=section.value("dwell", duration_within(*DWELL), default.dwell),
        warmup=section.value("warmup", duration_within(*WARMUP), default.warmup),
        patience=section.value("patience", duration_within(*PATIENCE), default.patience),
        bake=section.value("bake", duration_within(*BAKE), default.bake),
        holdback=section.value("holdback", read_holdback, default.holdback),
        false_rollback=section.value("false_rollback", share_within(*FALSE_ROLLBACK), default.false_rollback),
        confidence=section.value("confidence", share_within(*CONFIDENCE), default.confidence),
        errors=_read_errors(section.section("errors")),
        latency=_read_latency(section.section("latency"), streaming=streaming),
        deadline=section.value("deadline", duration_within(*DEADLINE), default.deadline),
        on_insufficient=section.value(
            "on_insufficient", one_of("hold", "advance", "rollback"), default.on_insufficient, text=True
        ),
        on_blind=section.value("on_blind", one_of("hold", "rollback"), default.on_blind, text=True),
        fallback=section.value("fallback", one_of("manual", "automatic"), default.fallback, text=True),
        approve=section.values("approve", read_approval, default.approve, MAX_STEPS + 1, text=False),
        hooks=section.values("hooks", read_name, default.hooks, MAX_LIST, text=True),
        keep_capacity=section.value("keep_capacity", share_within(0.0, 1.0), default.keep_capacity),
        metrics=tuple(map(_read_metric, section.sections("metrics", MAX_METRICS))),
    )
    section.close()
    return policy


def _read_steps(section: Section, mirror: Mirror | None) -> tuple[tuple[int, ...], Shadow | None]:
    """The weights of the steps, and the shadow step, whose weight is 0. It copies the share that the service mirrors,
    or its own default."""
    default: tuple[int | Shadow, ...] = Policy().steps
    steps = section.values("steps", _read_step, default, MAX_STEPS, text=False)
    for i, step in enumerate(steps[1:], 1):
        if isinstance(step, Shadow):
            section.report.add(f"{section.path_of('steps')}[{i}]", "a shadow step is the first: no client sees it")
    first = steps[0] if steps else None
    shadow = first if isinstance(first, Shadow) else None
    if shadow and mirror:
        shadow = shadow.model_copy(update={"share": mirror.share})
    return tuple(0 if isinstance(step, Shadow) else step for step in steps), shadow


def _read_step(text: str) -> int | Shadow:
    """A canary's weight in basis points, or a shadow step, such as `shadow 10m`."""
    word, _, dwell = text.partition(" ")
    return Shadow(dwell=duration_within(*DWELL)(dwell.strip())) if word == "shadow" else read_step(text)


def _read_metric(section: Section) -> MetricPolicy:
    section.require("name")
    metric = MetricPolicy(
        name=section.value("name", read_name, "", text=True),
        margin=section.value("margin", share_within(*METRIC_MARGIN), MetricPolicy(name="").margin),
        max=section.value("max", read_limit, None, null=True),
        min=section.value("min", read_limit, None, null=True),
    )
    section.close()
    return metric


def _read_errors(section: Section) -> ErrorPolicy:
    default = ErrorPolicy()
    errors = ErrorPolicy(
        margin=section.value("margin", share_within(*MARGIN), default.margin),
        ratio=section.value("ratio", number_within(*RATIO), default.ratio),
        max=section.value("max", share_within(*ERRORS_MAX), None, null=True),
    )
    section.close()
    return errors


def _read_latency(section: Section, *, streaming: bool) -> LatencyPolicy:
    """How late the last byte may come, and of a stream the first token. The whole time of a stream is the length of
    its answer: it is judged only if the file asks for it."""
    usual = LatencyPolicy().tolerance
    tolerance = section.value("tolerance", share_within(*TOLERANCE), None if streaming else usual)
    ttft_tolerance = (tolerance or usual) if streaming else None
    latency = LatencyPolicy(
        tolerance=tolerance,
        ttft_tolerance=section.value("ttft_tolerance", share_within(*TOLERANCE), ttft_tolerance),
        p99=section.value("p99", duration_within(*P99), None, null=True),
    )
    section.close()
    return latency
