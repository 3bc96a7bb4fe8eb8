"""The keys of a service file that are about its routes."""

from collections.abc import Callable, Iterator
from typing import Literal

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.route_rules import Condition, MatchRule, Mirror, PathMatch, RequestHeaders, Retries, Sticky
from controller.core.servicefile.field_rules import (
    duration_within,
    number_of,
    read_bool,
    read_header_name,
    read_header_value,
    read_mirror_share,
    read_name,
    read_parameter,
    read_path,
    read_prefix,
    read_token,
)
from controller.core.servicefile.section import Section

MAX_PATHS = 100
MAX_HEADERS = 50
MAX_ATTEMPTS = 5
MAX_RULES = 50
TTL = (1.0, 400 * 86_400.0)
"""Seconds. Browsers keep no cookie for longer."""
DEFAULT_TTL = 7 * 86_400.0

Source = Literal["header", "query", "cookie"]


def read_paths(top: Section) -> tuple[PathMatch, ...]:
    """The paths of `path` and the prefixes of `prefix`; every path if there is neither."""
    paths = top.one_or_more("path", read_path, MAX_PATHS)
    prefixes = top.one_or_more("prefix", read_prefix, MAX_PATHS)
    if not paths and not prefixes:
        prefixes = ("/",)
    exact = tuple(PathMatch(path=path, exact=True) for path in paths)
    return exact + tuple(PathMatch(path=prefix) for prefix in prefixes)


def read_match(top: Section) -> tuple[MatchRule, ...]:
    """The `match` list. A rule without a condition would take everybody."""
    return tuple(map(_read_rule, top.sections("match", MAX_RULES)))


def _read_rule(section: Section) -> MatchRule:
    section.require("to")
    conditions = [
        *_conditions(section.section("headers"), "header", read_header_name),
        *_conditions(section.section("query"), "query", read_parameter),
        *_conditions(section.section("cookie"), "cookie", read_token),
    ]
    rule = MatchRule(conditions=tuple(conditions), to=section.value("to", read_name, "", text=True))
    section.close()
    if not conditions and section.report.is_clean(section.path):
        section.report.add(section.path, "a rule needs a condition: headers, query or cookie, each {NAME: VALUE}")
    return rule


def _conditions(section: Section, source: Source, read: Callable[[str], str]) -> Iterator[Condition]:
    for key in section.mapping.entries:
        value = section.value(key, read_header_value, "", text=True)
        try:
            yield Condition(source=source, name=read(key), value=value)
        except ValueError as error:
            section.report.add(section.path_of(key), str(error))


def read_sticky(top: Section) -> Sticky | None:
    """The `sticky` section: one of a header, a cookie with its time to live, or the client's address."""
    section = top.section("sticky")
    header = section.value("header", read_header_name, "", text=True)
    cookie = section.value("cookie", read_token, "", text=True)
    source_ip = section.value("source_ip", read_bool, False)
    ttl = section.value("ttl", duration_within(*TTL), DEFAULT_TTL)
    section.close()
    if not section.present:
        return None
    given = section.mapping.entries.keys() & {"header", "cookie", "source_ip"}
    if (len(given) != 1 or (given == {"source_ip"} and not source_ip)) and section.report.is_clean(section.path):
        section.report.add(section.path, "one of header: NAME, cookie: NAME and source_ip: true is needed")
    if "ttl" in section.mapping.entries and "cookie" not in given:
        section.report.add(section.path_of("ttl"), "is of a cookie")
    if cookie:
        return Sticky(source="cookie", name=cookie, ttl=ttl)
    return Sticky(source="header", name=header) if header else Sticky(source="source_ip")


def read_mirror(top: Section) -> Mirror | None:
    """The `mirror` section."""
    section = top.section("mirror")
    section.require("to")
    mirror = Mirror(
        to=section.value("to", read_name, "", text=True), share=section.value("share", read_mirror_share, TOTAL_WEIGHT)
    )
    section.close()
    return mirror if section.present else None


def read_retry(section: Section) -> Retries:
    """The `retry` section."""
    retry = Retries(attempts=section.value("attempts", number_of(0, MAX_ATTEMPTS), Retries().attempts))
    section.close()
    return retry


def read_request_headers(section: Section) -> RequestHeaders:
    """The `request_headers` section. Names are compared in lower case."""
    added = section.section("add")
    if len(added.mapping.entries) > MAX_HEADERS:
        added.report.add(added.path, f"at most {MAX_HEADERS} headers, not {len(added.mapping.entries)}")
        return RequestHeaders()
    headers = {}
    for key in added.mapping.entries:
        value = added.value(key, read_header_value, "", text=True)
        try:
            headers[read_header_name(key)] = value
        except ValueError as error:
            added.report.add(added.path_of(key), str(error))
    removed = section.values("remove", read_header_name, (), MAX_HEADERS, text=True)
    section.close()
    return RequestHeaders(add=tuple(headers.items()), remove=removed)
