"""The versions of a service file: their endpoints and how to reach them."""

from controller.core.model.service import Endpoint, Version
from controller.core.servicefile.field_rules import number_of, read_endpoint, read_name
from controller.core.servicefile.section import Section
from controller.core.servicefile.upstream_rules import read_zone
from controller.core.servicefile.upstream_section import read_upstream

MAX_VERSIONS = 20
MAX_ENDPOINTS = 1000
"""Of one version."""
WEIGHT = (1, 1000)


def read_versions(section: Section) -> tuple[Version, ...]:
    """The versions in the order of the file."""
    names = list(section.mapping.entries)
    if section.present and not names and section.report.is_clean(section.path):
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
    endpoints = section.values_or_sections("endpoints", read_endpoint, _read_endpoint, MAX_ENDPOINTS)
    upstream = read_upstream(section)
    section.close()
    return Version(name=name, endpoints=endpoints, upstream=upstream)


def _read_endpoint(section: Section) -> Endpoint | None:
    """An endpoint that has more than an address."""
    section.require("address")
    endpoint = section.value("address", read_endpoint, None, text=True)
    weight = section.value("weight", number_of(*WEIGHT), 1)
    zone = section.value("zone", read_zone, "", text=True)
    section.close()
    return endpoint and endpoint.model_copy(update={"weight": weight, "zone": zone})
