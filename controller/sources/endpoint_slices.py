"""EndpointSlices of Kubernetes (discovery.k8s.io/v1) -> endpoints. Pure.

| | |
|---|---|
| ready | what is ready and not terminating; `ready` that is not there counts as true, as the API says |
| an address in two slices | one endpoint, which is ready if it is in one of them: it moves from slice to slice |
| dual stack | one endpoint for each pod, by IPv4 if it has that: both would be two shares of the requests |
| several addresses of an endpoint | the first: they are interchangeable, as the API says |
| zones | the zone of the endpoint |
| no matching port, or no slice at all | no endpoint |
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from controller.core.base.text import clean
from controller.core.model.service import Endpoint
from controller.core.servicefile.upstream_rules import read_zone

SERVICE_LABEL = "kubernetes.io/service-name"
"""The label of a slice that names its Service."""
FAMILIES = ("IPv4", "IPv6")
"""The types of addresses that are used, the preferred one first."""


class MalformedSlice(ValueError):  # noqa: N818
    """It is no EndpointSlice, and why."""


class SlicePort(NamedTuple):
    """A port of all endpoints of a slice."""

    name: str
    number: int


class SliceEndpoint(NamedTuple):
    """An endpoint of a slice that gets requests. `target` is the pod that it is, "" if that is not said."""

    address: str
    zone: str
    target: str


class EndpointSlice(NamedTuple):
    """What is used of an EndpointSlice."""

    name: str
    service: str
    version: str
    """Its resourceVersion."""
    family: str
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]
    """Those that are ready and not terminating."""


def read_slice(plain: object) -> EndpointSlice:
    """The slice of that JSON. Raises `MalformedSlice`."""
    try:
        return _read_slice(_mapping(plain))
    except (TypeError, ValueError, LookupError) as error:
        raise MalformedSlice(f"an EndpointSlice cannot be read: {clean(str(error))[:100]}") from error


def endpoints_of(slices: Iterable[EndpointSlice], port: str) -> tuple[Endpoint, ...]:
    """The endpoints of one Service at that port, its name or its number, in a fixed order."""
    found: dict[tuple[str, int], Endpoint] = {}
    for each in sorted(slices, key=lambda each: FAMILIES.index(each.family)):
        for number in {p.number for p in each.ports if port in (p.name, str(p.number))}:
            for address, zone, target in each.endpoints:
                found.setdefault((target or address, number), Endpoint(host=address, port=number, zone=zone))
    unique = {str(endpoint): endpoint for endpoint in found.values()}
    return tuple(unique[name] for name in sorted(unique))


def describe_none(slices: Iterable[EndpointSlice], service: str, port: str) -> str:
    """Why a Service has no endpoint, as far as its slices say."""
    slices = tuple(slices)
    if not slices:
        return f"there is no EndpointSlice of a Service {service}"
    ports = {name for each in slices for name in (*(p.name for p in each.ports), *(str(p.number) for p in each.ports))}
    if port not in ports:
        known = ", ".join(sorted(filter(None, ports))) or "none"
        return f"there is no port {port} in its EndpointSlices, which have {known}"
    return "no pod is ready"


def _read_slice(plain: Mapping[str, Any]) -> EndpointSlice:
    metadata = _mapping(plain["metadata"])
    family = str(plain["addressType"])
    usable = family in FAMILIES
    return EndpointSlice(
        name=_text(metadata["name"]),
        service=_text(_mapping(metadata.get("labels") or {}).get(SERVICE_LABEL) or ""),
        version=_text(metadata["resourceVersion"]),
        family=family if usable else FAMILIES[0],
        ports=tuple(_ports(plain.get("ports") or ())) if usable else (),
        endpoints=tuple(_endpoints(plain.get("endpoints") or ())) if usable else (),
    )


def _ports(listed: Iterable[Any]) -> Iterable[SlicePort]:
    for port in map(_mapping, listed):
        number = port.get("port")
        if isinstance(number, int) and (port.get("protocol") or "TCP") == "TCP":
            yield SlicePort(_text(port.get("name") or ""), number)


def _endpoints(listed: Iterable[Any]) -> Iterable[SliceEndpoint]:
    for endpoint in map(_mapping, listed):
        conditions = _mapping(endpoint.get("conditions") or {})
        if conditions.get("ready") is False or conditions.get("terminating") is True:
            continue
        address = ip_address(_text(endpoint["addresses"][0])).compressed
        target = _mapping(endpoint.get("targetRef") or {})
        known = "/".join(_text(target.get(key) or "") for key in ("kind", "name", "uid")) if target else ""
        yield SliceEndpoint(address, _zone(endpoint.get("zone")), known)


def _zone(named: object) -> str:
    try:
        return read_zone(named) if isinstance(named, str) else ""
    except ValueError:  # none that Envoy could know
        return ""


def _mapping(plain: object) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise TypeError(f"an object is needed, not {type(plain).__name__}")
    return plain


def _text(plain: object) -> str:
    if not isinstance(plain, str):
        raise TypeError(f"text is needed, not {type(plain).__name__}")
    return plain
