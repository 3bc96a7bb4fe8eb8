"""One watch for all kinds of sources."""

from collections.abc import AsyncIterator

from controller.core.model.endpoint_source import DnsSource, EndpointSource, FileSource, KubernetesSource
from controller.ports.endpoint_sources import SourceReading
from controller.sources.endpoint_files import EndpointFiles


class SourceWatches:
    """Watches a source by its kind. Implements `EndpointWatch`."""

    def __init__(self) -> None:
        self._files = EndpointFiles()

    def __call__(self, source: EndpointSource) -> AsyncIterator[SourceReading]:
        """What the source says, and each change of it, forever."""
        match source:
            case FileSource():
                return self._files.watch(source)
            case KubernetesSource() | DnsSource():
                return _unsupported()


async def _unsupported() -> AsyncIterator[SourceReading]:
    yield SourceReading(problem="unsupported")
