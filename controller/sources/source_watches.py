"""One watch for all kinds of sources."""

from collections.abc import AsyncIterator

from controller.core.model.endpoint_source import DnsSource, EndpointSource, FileSource, KubernetesSource
from controller.ports.endpoint_sources import SourceReading
from controller.sources.dns_records import DnsRecords
from controller.sources.endpoint_files import EndpointFiles
from controller.sources.kubernetes_api import ApiServer, EndpointSlicesApi
from controller.sources.kubernetes_watch import EndpointSliceWatches


class SourceWatches:
    """Watches a source by its kind. Implements `EndpointWatch`."""

    def __init__(self, kubernetes: ApiServer | None, dns_server: str = "") -> None:
        """`kubernetes`: where its API server is, if there is one. `dns_server`: IP:PORT, the system's if empty."""
        self._records = DnsRecords(dns_server)
        self._files = EndpointFiles()
        self._kubernetes = EndpointSliceWatches(EndpointSlicesApi(kubernetes) if kubernetes else None)

    def __call__(self, source: EndpointSource) -> AsyncIterator[SourceReading]:
        """What the source says, and each change of it, forever."""
        match source:
            case FileSource():
                return self._files.watch(source)
            case KubernetesSource():
                return self._kubernetes.watch(source)
            case DnsSource():
                return self._records.watch(source)
