"""What a controller knows of the sources of a service's versions, and how that is said."""

from collections.abc import Iterable
from typing import NamedTuple

from controller.core.base.units import counted
from controller.core.model.endpoint_source import EndpointSource
from controller.core.model.service import Endpoint


class SourceStatus(NamedTuple):
    """What a controller knows of the source of a version."""

    source: EndpointSource
    endpoints: tuple[Endpoint, ...] | None = None
    """As they were read last; None if they never were."""
    problem: str = ""
    """Why they may have changed since; empty while they are watched."""
    since: float = 0.0
    """Unix seconds: since when there is a problem; 0 without one."""
    note: str = ""
    """Why there is no endpoint, if more is known of that."""
    last_known: float = 0.0
    """Unix seconds: up to when an earlier run of the controller knew the endpoints, which this run has not read yet;
    0 once it has."""

    @property
    def is_read(self) -> bool:
        """Whether this run of the controller has ever read it."""
        return self.endpoints is not None and not self.last_known

    @property
    def is_empty(self) -> bool:
        """Whether it is known to have no endpoint."""
        return self.endpoints is not None and not self.endpoints


class KnownEndpoints(NamedTuple):
    """The endpoints that a source had, and in Unix seconds up to when that is known."""

    endpoints: tuple[Endpoint, ...]
    at: float


class SharedEndpoint(NamedTuple):
    """An endpoint of more than one version of a service: judged against itself it shows no harm."""

    address: str
    versions: tuple[str, ...]


def describe_source(version: str, status: SourceStatus, shared: Iterable[SharedEndpoint]) -> str:
    """What is wrong with the endpoints of a version, in words; empty if nothing is."""
    both = [each for each in shared if version in each.versions]
    parts = [_describe_state(version, status)]
    if both:
        others = " and ".join(name for name in both[0].versions if name != version)
        more = f" and {counted(len(both) - 1, 'other')}" if len(both) > 1 else ""
        parts.append(f"{both[0].address}{more} of {version} is an endpoint of {others} too, and cannot be judged")
    return "; ".join(filter(None, parts))


def _describe_state(version: str, status: SourceStatus) -> str:
    if status.endpoints is None:
        why = status.problem or "it is being read"
        return f"the endpoints of {version} are not known, and proxies keep those they have: {status.source}: {why}"
    if status.last_known:
        last = f"{version} has the {counted(len(status.endpoints), 'endpoint')} that were known before the restart"
        return f"{last}: {status.source}: {status.problem or 'it is being read'}"
    if status.problem:
        last = f"{version} has the {counted(len(status.endpoints), 'endpoint')} that were read last"
        return f"{last}: {status.source}: {status.problem}"
    if not status.is_empty:
        return ""
    return f"{version} has no endpoint: {status.source}{f': {status.note}' if status.note else ' has none'}"
