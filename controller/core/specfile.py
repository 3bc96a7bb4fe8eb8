"""The text of a service file -> a `Service`, or every violation in it at once, each with its field and line.

`yamltree` keeps the text's form, `fields` the rules for single values; here is what a service file is made of, and
which values contradict one another. docs/service-file.md tells the same to people.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from controller.core.errors import Violation
from controller.core.fields import (
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
from controller.core.spec import Endpoint, ErrorPolicy, Fallback, LatencyPolicy, Listen, Policy, Service, Version
from controller.core.units import PARTS, format_duration, format_parts
from controller.core.yamltree import Items, Node, Refused, Scalar, Table, a_type, joined, read_tree, shown

T = TypeVar("T")

MAX_VIOLATIONS = 100
"""Told at once. Who has more has not written a service file."""
MAX_VERSIONS = 20
MAX_ENDPOINTS = 1000
"""Of one version."""
MAX_STEPS = 100
MAX_LIST = 100
"""Hosts and fleets of one service, hooks of its policy."""

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
    report = _Report(malformed)
    service = None
    if isinstance(root, Table):
        service = _read_service(_Section(report, "", root))
    elif not isinstance(root, Refused) and not malformed:
        report.add("", "a service file is a mapping that begins with 'service: NAME'", root.line if root else 1)
    if not report.found:
        return Linted(service, ())
    found = sorted(report.found, key=lambda v: v.line)
    if len(found) > MAX_VIOLATIONS:
        rest = Violation("", f"and {len(found) - MAX_VIOLATIONS} violations more", found[MAX_VIOLATIONS].line)
        found = [*found[:MAX_VIOLATIONS], rest]
    return Linted(None, tuple(found))


@dataclass(slots=True)
class _Report:
    """What was found wrong so far."""

    found: list[Violation] = field(default_factory=list)

    def add(self, path: str, message: str, line: int) -> None:
        self.found.append(Violation(path, message, line))

    def clean(self, *paths: str) -> bool:
        """Whether nothing is wrong at or under these fields, so that their values can be held against others."""
        return not any(v.field.startswith(paths) for v in self.found)


@dataclass(slots=True)
class _Section:
    """One mapping of the file, read key by key; what is wrong with a value is reported and a default stands in.

    `there` is false for the empty section that stands in for one that is missing or no mapping.
    """

    report: _Report
    path: str
    table: Table
    there: bool = True
    taken: list[str] = field(default_factory=list)

    def node(self, key: str) -> Node | None:
        """What stands under the key, if anything."""
        self.taken.append(key)
        entry = self.table.entries.get(key)
        return entry.node if entry else None

    def at(self, key: str) -> str:
        """The key's path."""
        return joined(self.path, key)

    def line(self, key: str) -> int:
        """The key's line; the section's own if the key is not there."""
        entry = self.table.entries.get(key)
        return entry.line if entry else self.table.line

    def wrong(self, key: str, message: str) -> None:
        """Report what is wrong with a key's value."""
        self.report.add(self.at(key), message, self.line(key))

    def require(self, *keys: str) -> None:
        """Report the keys that are missing."""
        for key in keys:
            if self.there and key not in self.table.entries:
                self.report.add(self.at(key), "is missing", self.table.line)

    def value(self, key: str, read: Callable[[str], T], default: T, *, text: bool = False, null: bool = False) -> T:
        """A single value. `text`: numbers and the like must be quoted; `null`: may be null, which is the default."""
        node = self.node(key)
        if node is None or (null and isinstance(node, Scalar) and node.type == "null"):
            return default
        return _read_value(self.report, self.at(key), node, read, default, text=text)

    def values(self, key: str, read: Callable[[str], T], default: Sequence[T], most: int, *, text: bool) -> list[T]:
        """A list of single values, at most so many."""
        node = self.node(key)
        if node is None or isinstance(node, Refused):
            return list(default)
        if not isinstance(node, Items):
            self.wrong(key, f"a list is needed, such as [...], not {_told(node)}")
            return list(default)
        if len(node.nodes) > most:
            self.wrong(key, f"at most {most} entries, not {len(node.nodes)}")
            return list(default)
        found: list[T | None] = [
            _read_value(self.report, f"{self.at(key)}[{i}]", item, read, None, text=text)
            for i, item in enumerate(node.nodes)
        ]
        return [item for item in found if item is not None]

    def section(self, key: str) -> "_Section":
        """A mapping under the key; an empty one stands in if there is none."""
        node = self.node(key)
        if node is not None and not isinstance(node, Table | Refused):
            self.wrong(key, f"a mapping is needed, not {_told(node)}")
        if isinstance(node, Table):
            return _Section(self.report, self.at(key), node)
        return _Section(self.report, self.at(key), Table({}, self.line(key)), there=False)

    def close(self) -> None:
        """Report the keys that nobody asked for."""
        for key, entry in self.table.entries.items():
            if key not in self.taken:
                near = get_close_matches(key[:64].lower(), self.taken, 1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self.taken))}"
                self.report.add(self.at(key), f"unknown key; {hint}", entry.line)


def _read_value(
    report: _Report, path: str, node: Node, read: Callable[[str], T], default: Any, *, text: bool
) -> T | Any:
    if isinstance(node, Refused):
        return default
    if not isinstance(node, Scalar):
        report.add(path, f"a single value is needed, not {_told(node)}", node.line)
    elif node.type == "null" and not node.text.strip("~"):
        report.add(path, "is empty: give it a value or leave it out", node.line)
    elif text and node.type != "str":
        report.add(path, f"text is needed, and YAML takes {shown(node.text)} for {a_type(node)}: quote it", node.line)
    else:
        try:
            return read(node.text)
        except ValueError as error:
            report.add(path, str(error), node.line)
    return default


def _told(node: Node) -> str:
    match node:
        case Scalar(type="null"):
            return "nothing"
        case Scalar():
            return shown(node.text)
        case Items():
            return "a list"
        case _:
            return "a mapping"


def _one_of(*words: str) -> Callable[[str], Any]:
    """The rule for one of some words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)} is needed, not {shown(text)}")
        return text

    return read


def _read_service(top: _Section) -> Service:
    top.require("service", "listen", "versions", "stable")
    service = Service(
        name=top.value("service", read_name, "", text=True),
        fleets=tuple(top.values("fleets", read_name, (), MAX_LIST, text=True)),
        listen=_read_listen(top.section("listen")),
        hosts=tuple(top.values("hosts", read_domain, ("*",), MAX_LIST, text=True)),
        prefix=top.value("prefix", read_prefix, "/", text=True),
        protocol=top.value("protocol", _one_of("http", "grpc"), "http", text=True),
        timeout=top.value("timeout", duration_within(*TIMEOUT), 5.0),
        versions=_read_versions(top.section("versions")),
        stable=top.value("stable", read_name, "", text=True),
        fallback=_read_fallback(top),
        policy=_read_policy(top.section("policy")),
    )
    top.close()
    _check_lists(top, service)
    _check_versions(top, service)
    _check_fallback(top, service)
    _check_limits(top, service)
    return service


def _read_listen(section: _Section) -> Listen:
    section.require("port")
    listen = Listen(
        address=section.value("address", read_address, "127.0.0.1", text=True), port=section.value("port", read_port, 0)
    )
    section.close()
    return listen


def _read_versions(section: _Section) -> tuple[Version, ...]:
    names = list(section.table.entries)
    if len(names) > MAX_VERSIONS:
        section.report.add(section.path, f"at most {MAX_VERSIONS} versions, not {len(names)}", section.table.line)
        return ()
    return tuple(_read_version(section, name) for name in names)


def _read_version(section: _Section, name: str) -> Version:
    try:
        read_name(name)
    except ValueError as error:
        section.wrong(name, str(error))
    version = section.section(name)
    version.require("endpoints")
    endpoints: list[Endpoint] = version.values("endpoints", read_endpoint, (), MAX_ENDPOINTS, text=True)
    version.close()
    return Version(name=name, endpoints=tuple(endpoints))


def _read_fallback(top: _Section) -> Fallback | None:
    """A version, or a fixed response that the proxies give by themselves."""
    if top.node("fallback") is None:
        return None
    section = top.section("fallback")
    fallback = Fallback(
        version=section.value("version", read_name, None, text=True),
        status=section.value("status", read_status, 503),
        body=section.value("body", read_response, "", text=True),
    )
    section.close()
    given = section.table.entries.keys() & {"version", "status", "body"}
    if section.there and not given:
        section.report.add(section.path, "name a version, or a status and a body to answer with", section.table.line)
    elif "version" in given and len(given) > 1:
        section.wrong("version", "a fallback is a version or a fixed response (status, body), not both")
    return fallback


def _read_policy(section: _Section) -> Policy:
    usual = Policy()
    policy = Policy(
        steps=tuple(section.values("steps", read_step, usual.steps, MAX_STEPS, text=False)),
        dwell=section.value("dwell", duration_within(*DWELL), usual.dwell),
        warmup=section.value("warmup", duration_within(*WARMUP), usual.warmup),
        bake=section.value("bake", duration_within(*BAKE), usual.bake),
        false_rollback=section.value("false_rollback", share_within(*FALSE_ROLLBACK), usual.false_rollback),
        confidence=section.value("confidence", share_within(*CONFIDENCE), usual.confidence),
        errors=_read_errors(section.section("errors")),
        latency=_read_latency(section.section("latency")),
        deadline=section.value("deadline", duration_within(*DEADLINE), usual.deadline),
        on_insufficient=section.value(
            "on_insufficient", _one_of("hold", "advance", "rollback"), usual.on_insufficient, text=True
        ),
        on_blind=section.value("on_blind", _one_of("hold", "rollback"), usual.on_blind, text=True),
        fallback=section.value("fallback", _one_of("manual", "automatic"), usual.fallback, text=True),
        approve=tuple(section.values("approve", read_approval, usual.approve, MAX_STEPS + 1, text=False)),
        hooks=tuple(section.values("hooks", read_name, usual.hooks, MAX_LIST, text=True)),
    )
    section.close()
    if twice := _twice(policy.hooks):
        section.wrong("hooks", f"{twice} stands there twice")
    _check_steps(section, policy)
    _check_approvals(section, policy)
    _check_deadline(section, policy)
    return policy


def _read_errors(section: _Section) -> ErrorPolicy:
    usual = ErrorPolicy()
    errors = ErrorPolicy(
        margin=section.value("margin", share_within(*MARGIN), usual.margin),
        ratio=section.value("ratio", number_within(*RATIO), usual.ratio),
        max=section.value("max", share_within(*ERRORS_MAX), None, null=True),
    )
    section.close()
    if errors.max is not None and errors.max < errors.margin and section.report.clean(section.path):
        section.wrong("max", "is below margin: the absolute limit would be reached before any harm could be seen")
    return errors


def _read_latency(section: _Section) -> LatencyPolicy:
    usual = LatencyPolicy()
    latency = LatencyPolicy(
        tolerance=section.value("tolerance", share_within(*TOLERANCE), usual.tolerance),
        p99=section.value("p99", duration_within(*P99), None, null=True),
    )
    section.close()
    return latency


def _check_lists(top: _Section, service: Service) -> None:
    for key, entries in (("fleets", service.fleets), ("hosts", service.hosts)):
        if twice := _twice(entries):
            top.wrong(key, f"{twice} stands there twice")
    if not service.hosts and top.report.clean("hosts"):
        top.wrong("hosts", "an empty list would serve nobody; leave it out for every host")
    node = top.table.entries.get("fleets")
    if node and not service.fleets and top.report.clean("fleets"):
        top.wrong("fleets", "an empty list would serve nobody; leave it out for every fleet")


def _check_versions(top: _Section, service: Service) -> None:
    """The stable carries traffic, and no server stands behind two versions."""
    if not top.report.clean("versions"):
        return
    if not service.versions:
        if "versions" in top.table.entries:
            top.wrong("versions", "at least one version is needed")
        return
    stable = service.version(service.stable)
    if top.report.clean("stable") and stable is None:
        known = ", ".join(v.name for v in service.versions)
        top.wrong("stable", f"{service.stable} is not among the versions: {known}")
    elif stable is not None and not stable.endpoints:
        top.wrong("stable", f"versions.{service.stable} has no endpoints, and the stable carries the traffic")
    owners: dict[Endpoint, str] = {}
    for version in service.versions:
        for endpoint in version.endpoints:
            owner = owners.setdefault(endpoint, version.name)
            if owner != version.name:
                top.wrong(
                    "versions",
                    f"{endpoint} serves {owner} and {version.name}: a server judged against itself shows no harm",
                )
        if twice := _twice(version.endpoints):
            top.wrong("versions", f"{version.name} has the endpoint {twice} twice")


def _check_fallback(top: _Section, service: Service) -> None:
    fallback = service.fallback
    if fallback is None:
        if service.policy.fallback == "automatic" and top.report.clean("policy.fallback"):
            line = top.line("policy")
            top.report.add("policy.fallback", "automatic needs a fallback to be declared beside the policy", line)
        return
    if fallback.version is None or not top.report.clean("fallback", "versions", "stable"):
        return
    version = service.version(fallback.version)
    if version is None:
        top.wrong("fallback", f"{fallback.version} is not among the versions")
    elif not version.endpoints:
        top.wrong("fallback", f"versions.{fallback.version} has no endpoints")
    elif fallback.version == service.stable:
        top.wrong("fallback", f"{fallback.version} is the stable: the fallback is for when the stable is broken")


def _check_limits(top: _Section, service: Service) -> None:
    p99 = service.policy.latency.p99
    if p99 is not None and p99 >= service.timeout and top.report.clean("policy.latency", "timeout"):
        limit = format_duration(service.timeout)
        line = top.line("policy")
        top.report.add("policy.latency.p99", f"must be below the timeout of {limit}: no answer is slower", line)


def _check_steps(section: _Section, policy: Policy) -> None:
    if not section.report.clean(section.at("steps")):
        return
    if not policy.steps:
        section.wrong("steps", "at least one step is needed, such as [5%, 25%]")
    for before, after in zip(policy.steps, policy.steps[1:], strict=False):
        if after <= before:
            section.wrong("steps", f"must rise: {format_parts(after)} follows {format_parts(before)}")


def _check_approvals(section: _Section, policy: Policy) -> None:
    if not section.report.clean(section.at("steps"), section.at("approve")):
        return
    later = [*policy.steps[1:], PARTS]
    for weight in policy.approve:
        if weight == policy.steps[0]:
            section.wrong("approve", f"{format_parts(weight)} is the first step: starting the rollout is the yes to it")
        elif weight not in later:
            known = ", ".join(map(format_parts, later))
            section.wrong("approve", f"{format_parts(weight)} is no step; approval can be asked at {known}")
    if twice := _twice(policy.approve):
        section.wrong("approve", f"{format_parts(twice)} stands there twice")


def _check_deadline(section: _Section, policy: Policy) -> None:
    if not section.report.clean(*map(section.at, ("deadline", "dwell", "warmup", "steps"))):
        return
    # The warm-up counts towards the first step's dwell.
    least = max(policy.warmup, policy.dwell) + (len(policy.steps) - 1) * policy.dwell
    if policy.deadline < least:
        told = f"is over before the steps can be: warm-up and dwells take {format_duration(least)}"
        section.wrong("deadline", told)


def _twice(entries: Sequence[T]) -> T | None:
    """The first entry that is there a second time."""
    seen: list[T] = []
    for entry in entries:
        if entry in seen:
            return entry
        seen.append(entry)
    return None
