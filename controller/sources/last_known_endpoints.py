"""The endpoints that a controller has read of its sources, in a file for its next run.

The first line is the digest of the rest, which is JSON. What is not whole, or of another format, counts as nothing:
then a source has no endpoints until it is read.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import structlog
from pydantic import BaseModel, ValidationError

from controller.core.model.endpoint_source import DnsSource, EndpointSource, FileSource, KubernetesSource
from controller.core.model.service import Endpoint
from controller.core.model.source_status import KnownEndpoints

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
            digest, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            return self._unusable(error.strerror or type(error).__name__)
        if digest.decode(errors="replace") != hashlib.sha256(body).hexdigest():
            return self._unusable("its digest is not that of its content")
        try:
            document = _Document.model_validate_json(body)
        except ValidationError as error:
            return self._unusable(f"{error.error_count()} of its fields cannot be read")
        return {each.source: KnownEndpoints(each.endpoints, each.at) for each in document.sources}

    def save(self, known: Mapping[EndpointSource, KnownEndpoints]) -> None:
        """Replace the file as one: after a crash it is the old one or the new one. OSError if the disk refuses, or the
        folder is not there: it is the store's, and one that this made in its place would look like a first start."""
        sources = tuple(_Source(source=each, endpoints=of.endpoints, at=of.at) for each, of in known.items())
        body = _Document(sources=sources).model_dump_json().encode()
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.partial")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _unusable(self, why: str) -> Mapping[EndpointSource, KnownEndpoints]:
        log.warning("last_known_endpoints_unreadable", path=str(self._path), reason=why)
        return {}
