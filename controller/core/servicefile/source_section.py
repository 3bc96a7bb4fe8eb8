"""The keys of a version that say where its endpoints come from, if not from the service file."""

from controller.core.model.endpoint_source import EndpointSource, FileSource
from controller.core.servicefile.section import Section
from controller.core.servicefile.upstream_rules import read_file

KEYS = ("endpoints", "endpoints_file")
"""Of a version: one of them says where its endpoints come from."""


def read_source(section: Section) -> EndpointSource | None:
    """The source that a version names; None if it has `endpoints` or, which is reported, nothing. Two are reported."""
    given = [key for key in KEYS if key in section.mapping.entries]
    if len(given) > 1:
        message = f"endpoints come from one place: leave out {' or '.join(given)}"
        section.report.add(section.path_of(given[1]), message, section.mapping.entries[given[1]].line)
    elif not given and section.present:
        message = f"is missing; or else one of {', '.join(KEYS[1:])}"
        section.report.add(section.path_of("endpoints"), message, section.mapping.line)
    path = section.value("endpoints_file", read_file, None, text=True)
    return FileSource(path=path) if path else None
