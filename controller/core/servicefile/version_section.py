"""The versions of a service file: their endpoints, or where those come from, and how to reach them."""

from controller.core.model.service import Endpoint, Version
from controller.core.servicefile.field_rules import number_of, read_endpoint, read_name
from controller.core.servicefile.section import Section
from controller.core.servicefile.source_section import read_source
from controller.core.servicefile.upstream_rules import read_own_cluster, read_zone
from controller.core.servicefile.upstream_section import read_upstream

MAX_VERSIONS = 20
MAX_ENDPOINTS = 1000
"""Of one version."""
WEIGHT = (1, 1000)


def read_versions(section: Section, *, own_clusters: bool) -> tuple[Version, ...]:
    """The versions in the order of the file. `own_clusters`: each names a cluster that Envoy has already."""
    names = list(section.mapping.entries)
    if section.present and not names and section.report.is_clean(section.path):
        section.report.add(section.path, "at least one version is needed")
    if len(names) > MAX_VERSIONS:
        section.report.add(section.path, f"at most {MAX_VERSIONS} versions, not {len(names)}")
        return ()
    return tuple(_read_version(section, name, own_clusters=own_clusters) for name in names)


def _read_version(versions: Section, name: str, *, own_clusters: bool) -> Version:
    section = versions.section(name)
    try:
        read_name(name)
    except ValueError as error:
        versions.report.add(section.path, str(error))
    if own_clusters:
        return _read_own(section, name)
    if "cluster" in section.mapping.entries:
        section.read_keys.append("cluster")
        line = section.mapping.entries["cluster"].line
        section.report.add(section.path_of("cluster"), "needs clusters: own, in all versions", line)
    source = read_source(section)
    endpoints = section.values_or_sections("endpoints", read_endpoint, read_weighted_endpoint, MAX_ENDPOINTS)
    upstream = read_upstream(section)
    section.close()
    return Version(name=name, endpoints=endpoints, source=source, upstream=upstream)


def _read_own(section: Section, name: str) -> Version:
    """A version that is a cluster of the operator's own: all that is said of it here is its name."""
    section.require("cluster")
    cluster = section.value("cluster", read_own_cluster, "", text=True)
    for key in section.mapping.entries.keys() - {"cluster"}:
        section.read_keys.append(key)
        line = section.mapping.entries[key].line
        section.report.add(section.path_of(key), "is in your own Envoy's file with clusters: own", line)
    return Version(name=name, cluster=cluster)


def read_weighted_endpoint(section: Section) -> Endpoint | None:
    """An endpoint that has more than an address; None, which is reported, without one."""
    section.require("address")
    endpoint = section.value("address", read_endpoint, None, text=True)
    weight = section.value("weight", number_of(*WEIGHT), 1)
    zone = section.value("zone", read_zone, "", text=True)
    section.close()
    return endpoint and endpoint.model_copy(update={"weight": weight, "zone": zone})
