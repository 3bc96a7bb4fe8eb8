"""The endpoints that a controller has read of its sources, in a file for its next run.

A digested file of JSON. What is not whole, or of another format, counts as nothing: then a source has no endpoints
until it is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import structlog
from pydantic import BaseModel, ValidationError

from controller.core.model.endpoint_source import DnsSource, EndpointSource, FileSource, KubernetesSource
from controller.core.model.service import Endpoint
from controller.core.model.source_status import KnownEndpoints
from controller.process.digested_file import NotWhole, read_digested, write_digested

log = structlog.get_logger()


class _Source(BaseModel):
    source: KubernetesSource | FileSource | DnsSource
    endpoints: tuple[Endpoint, ...]
    at: float


class _Document(BaseModel):
    format: Literal[1] = 1
    sources: tuple[_Source, ...]


class LastKnownFile:
    """That file, readable by the controller's user alone. Implements `LastKnownEndpoints`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Mapping[EndpointSource, KnownEndpoints]:
        """What was saved last; nothing if there is no such file, or it is not whole."""
        try:
            body = read_digested(self._path)
        except FileNotFoundError:
            return {}
        except OSError as error:
            return self._unusable(error.strerror or type(error).__name__)
        except NotWhole as error:
            return self._unusable(str(error))
        try:
            document = _Document.model_validate_json(body)
        except ValidationError as error:
            return self._unusable(f"{error.error_count()} of its fields cannot be read")
        return {each.source: KnownEndpoints(each.endpoints, each.at) for each in document.sources}

    def save(self, known: Mapping[EndpointSource, KnownEndpoints]) -> None:
        """Replace the file as one: after a crash it is the old one or the new one. OSError if the disk refuses, or the
        folder is not there: it is the store's, and one that this made in its place would look like a first start."""
        sources = tuple(_Source(source=each, endpoints=of.endpoints, at=of.at) for each, of in known.items())
        write_digested(self._path, _Document(sources=sources).model_dump_json().encode())

    def _unusable(self, why: str) -> Mapping[EndpointSource, KnownEndpoints]:
        log.warning("last_known_endpoints_unreadable", path=str(self._path), reason=why)
        return {}
