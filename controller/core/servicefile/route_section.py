"""The keys of a service file that are about its routes."""

from controller.core.model.route_rules import PathMatch, RequestHeaders, Retry
from controller.core.servicefile.field_rules import (
    number_of,
    read_header_name,
    read_header_value,
    read_path,
    read_prefix,
)
from controller.core.servicefile.section import Section

MAX_PATHS = 100
MAX_HEADERS = 50
MAX_ATTEMPTS = 5


def read_paths(top: Section) -> tuple[PathMatch, ...]:
    """The paths of `path` and the prefixes of `prefix`; every path if there is neither."""
    paths = top.one_or_more("path", read_path, MAX_PATHS)
    prefixes = top.one_or_more("prefix", read_prefix, MAX_PATHS)
    if not paths and not prefixes:
        prefixes = ("/",)
    exact = tuple(PathMatch(path=path, exact=True) for path in paths)
    return exact + tuple(PathMatch(path=prefix) for prefix in prefixes)


def read_retry(section: Section) -> Retry:
    """The `retry` section."""
    retry = Retry(attempts=section.value("attempts", number_of(0, MAX_ATTEMPTS), Retry().attempts))
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
