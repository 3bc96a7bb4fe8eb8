"""Saves the endpoints that a controller has read of its sources, for its next run."""

import asyncio
from collections.abc import Mapping

import structlog

from controller.core.model.endpoint_source import EndpointSource
from controller.core.model.service import Endpoint
from controller.ports.clock import Clock
from controller.ports.endpoint_sources import LastKnownEndpoints
from controller.process.periodic import every
from controller.runtime.sourced_endpoints import SourcedEndpoints

LOOK_EVERY = 1.0
"""Seconds after which endpoints that have changed are saved."""
SAVE_EVERY = 60.0
"""Seconds after which endpoints that have not are: how old they are is saved with them."""

log = structlog.get_logger()


class EndpointSaver:
    """Saves what has changed, and now and then what has not. What a disk refuses is tried again."""

    def __init__(self, sources: SourcedEndpoints, disk: LastKnownEndpoints, clock: Clock) -> None:
        self._sources = sources
        self._disk = disk
        self._clock = clock
        self._saved: Mapping[EndpointSource, tuple[Endpoint, ...]] = {}
        self._saved_at = clock.monotonic()
        self._problem = ""

    async def run(self) -> None:
        """Save until cancelled, and once more then."""
        try:
            await every(LOOK_EVERY, self._save_if_due)
        finally:
            await self._save()

    async def _save_if_due(self) -> None:
        endpoints = {source: known.endpoints for source, known in self._sources.known().items()}
        if endpoints != self._saved or (endpoints and self._clock.monotonic() - self._saved_at >= SAVE_EVERY):
            await self._save()

    async def _save(self) -> None:
        known = self._sources.known()
        endpoints = {source: each.endpoints for source, each in known.items()}
        if not endpoints and not self._saved:
            return  # most controllers have no source: no file
        problem = ""
        try:
            await asyncio.to_thread(self._disk.save, known)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        else:
            self._saved, self._saved_at = endpoints, self._clock.monotonic()
        if problem and problem != self._problem:
            log.warning("last_known_endpoints_not_saved", reason=problem)
        self._problem = problem
