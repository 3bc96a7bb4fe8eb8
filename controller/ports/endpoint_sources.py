"""Where versions' endpoints come from, if not from service files."""

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

from controller.core.model.endpoint_source import EndpointSource
from controller.core.model.service import Endpoint
from controller.core.model.source_status import KnownEndpoints, SharedEndpoint, SourceStatus


class SourceReading(NamedTuple):
    """What was read of a source. With a `problem` nothing was, and what was read before it holds on: `endpoints` is
    None. `note` says why there is no endpoint, if more is known of that."""

    endpoints: tuple[Endpoint, ...] | None = None
    problem: str = ""
    note: str = ""


class EndpointWatch(Protocol):
    """Reads sources."""

    def __call__(self, source: EndpointSource) -> AsyncIterator[SourceReading]:
        """What the source says, and each change of it, forever; a problem as often as it is met. Raises nothing."""
        ...


class LastKnownEndpoints(Protocol):
    """What a controller has read of its sources, kept for its next run."""

    def load(self) -> Mapping[EndpointSource, KnownEndpoints]:
        """What was saved last; nothing if that cannot be read. Raises nothing."""
        ...

    def save(self, known: Mapping[EndpointSource, KnownEndpoints]) -> None:
        """Replace what was saved, as one. Blocks. OSError: the disk refuses, and the former may still be there."""
        ...


class SourceStatuses(Protocol):
    """What is known of the sources of services. No method waits or raises."""

    def statuses(self, service: str) -> Mapping[str, SourceStatus]:
        """By version, of those that have a source."""
        ...

    def shared(self, service: str) -> tuple[SharedEndpoint, ...]:
        """The endpoints that more than one of its versions has, as their sources say now."""
        ...


class NoSources:
    """Of a program without sources. Implements `SourceStatuses`."""

    def statuses(self, service: str) -> Mapping[str, SourceStatus]:
        """None."""
        return {}

    def shared(self, service: str) -> tuple[SharedEndpoint, ...]:
        """None."""
        return ()
