"""One watch for all kinds of sources."""

from collections.abc import AsyncIterator

from controller.core.model.endpoint_source import EndpointSource
from controller.ports.endpoint_sources import SourceReading
from controller.sources.endpoint_files import EndpointFiles


class SourceWatches:
    """Watches a source by its kind. Implements `EndpointWatch`."""

    def __init__(self) -> None:
        self._files = EndpointFiles()

    def __call__(self, source: EndpointSource) -> AsyncIterator[SourceReading]:
        """What the source says, and each change of it, forever."""
        return self._files.watch(source)
