"""The keys of a version that say where its endpoints come from, if not from the service file."""

import re

from controller.core.model.endpoint_source import DnsSource, EndpointSource, FileSource, KubernetesSource
from controller.core.servicefile.field_rules import MAX_HOST
from controller.core.servicefile.section import Section
from controller.core.servicefile.upstream_rules import read_file
from controller.core.servicefile.yaml_tree import quoted

KEYS = ("endpoints", "kubernetes", "endpoints_file", "dns_srv")
"""Of a version: one of them says where its endpoints come from."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]+\Z", re.ASCII)
_SRV_LABEL = r"_?[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_SRV = re.compile(rf"{_SRV_LABEL}(?:\.{_SRV_LABEL})+\Z", re.ASCII)
_MAX_PORT = 65_535


def read_source(section: Section) -> EndpointSource | None:
    """The source that a version names; None if it has `endpoints` or, which is reported, nothing. Two are reported."""
    given = [key for key in KEYS if key in section.mapping.entries]
    if len(given) > 1:
        message = f"endpoints come from one place: leave out {' or '.join(given)}"
        section.report.add(section.path_of(given[1]), message, section.mapping.entries[given[1]].line)
    elif not given and section.present:
        message = f"is missing; or else one of {', '.join(KEYS[1:])}"
        section.report.add(section.path_of("endpoints"), message, section.mapping.line)
    kubernetes = _read_kubernetes(section)
    path = section.value("endpoints_file", read_file, None, text=True)
    name = section.value("dns_srv", read_srv_name, None, text=True)
    found = (kubernetes, path and FileSource(path=path), name and DnsSource(name=name))
    return next((source for source in found if source), None)


def _read_kubernetes(version: Section) -> KubernetesSource | None:
    if "kubernetes" not in version.mapping.entries:
        version.read_keys.append("kubernetes")
        return None
    section = version.section("kubernetes")
    section.require("namespace", "service", "port")
    source = KubernetesSource(
        namespace=section.value("namespace", read_label, "", text=True),
        service=section.value("service", read_label, "", text=True),
        port=section.value("port", read_service_port, ""),
    )
    section.close()
    return source


def read_label(text: str) -> str:
    """The name of a namespace or a Service in Kubernetes."""
    if not _LABEL.match(text):
        raise ValueError(f"a name in Kubernetes has 1 to 63 of a-z, 0-9 and '-', unlike {quoted(text)}")
    return text


def read_service_port(text: str) -> str:
    """The name of a port, or a number."""
    if _NUMBER.match(text):
        if not 1 <= int(text[:6]) <= _MAX_PORT or text.startswith("0"):
            raise ValueError(f"a port is a whole number from 1 to {_MAX_PORT}, not {quoted(text)}")
        return text
    if not _LABEL.match(text):
        raise ValueError(f"the name of a port, such as http, or its number is needed, not {quoted(text)}")
    return text


def read_srv_name(text: str) -> str:
    """The name of SRV records (RFC 2782), such as `_http._tcp.model.internal`."""
    name = text.lower()
    if len(name) > MAX_HOST or not _SRV.match(name):
        raise ValueError(f"a name such as _http._tcp.model.internal is needed, not {quoted(text)}")
    return name
