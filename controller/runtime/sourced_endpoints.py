"""The endpoints of versions that have a source, as this controller reads them.

Each controller reads for itself, and what it reads is not in the store: pods that come and go change what proxies are
served, and nothing else. What was read last holds on while a source is away, also over a restart of the controller.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from itertools import chain

import structlog

from controller.core.base.identity_cache import by_identity
from controller.core.model.cluster_names import cluster_name
from controller.core.model.endpoint_source import EndpointSource
from controller.core.model.service import Service
from controller.core.model.source_status import KnownEndpoints, SharedEndpoint, SourceStatus
from controller.core.model.view import View
from controller.core.routing.routing import SourcedVersions
from controller.ports.clock import Clock
from controller.ports.endpoint_sources import EndpointWatch, SourceReading

GAP = 0.1
"""Seconds between two publications at least: a rolling update of many pods leads to few of them."""
AFTER_DEFECT = 10.0
"""Seconds after which a watch that ended, which none does, begins again."""
FIRST_READ = 5.0
"""Seconds for which a start waits for the first reading of every source. A proxy keeps the endpoints that it has, so
more waiting would only keep others from their configuration."""
OLDEST = 3600.0
"""Seconds after which endpoints of an earlier run are not used: proxies may have newer ones from another controller,
and addresses are given to other servers."""

log = structlog.get_logger()


class SourcedEndpoints:
    """Watches the sources that the view names. Implements `SourceStatuses`.

    `on_change` is called with the services of which something else is known, and whether that is other endpoints.
    """

    def __init__(
        self,
        watch: EndpointWatch,
        clock: Clock,
        on_change: Callable[[Collection[str], bool], None],
        last_known: Mapping[EndpointSource, KnownEndpoints] | None = None,
    ) -> None:
        """`last_known` is what an earlier run has read: used where it is not too old, until a source is read."""
        self._watch = watch
        self._last_known = {} if last_known is None else last_known
        self._clock = clock
        self._on_change = on_change
        self._specs: Mapping[str, Service] = {}
        """The services that have a source."""
        self._statuses: dict[EndpointSource, SourceStatus] = {}
        self._tasks: dict[EndpointSource, asyncio.Task[None]] = {}
        self._sourced: dict[str, SourcedVersions] = {}
        self._shared: dict[str, tuple[SharedEndpoint, ...]] = {}
        self._changed: set[EndpointSource] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._published_at = 0.0
        self._read = asyncio.Event()
        """Set whenever something was read."""

    @property
    def sourced(self) -> Mapping[str, SourcedVersions]:
        """By service: the endpoints of the versions whose sources have been read."""
        return dict(self._sourced)

    @property
    def empty_clusters(self) -> frozenset[str]:
        """The clusters whose sources have no endpoint."""
        return frozenset(name for name, status in self._clusters() if status.is_empty)

    @property
    def unread_clusters(self) -> frozenset[str]:
        """The clusters whose sources were never read."""
        return frozenset(name for name, status in self._clusters() if status.endpoints is None)

    def statuses(self, service: str) -> Mapping[str, SourceStatus]:
        """By version, of those that have a source."""
        spec = self._specs.get(service)
        versions = spec.versions if spec else ()
        return {v.name: self._statuses[v.source] for v in versions if v.source}

    def shared(self, service: str) -> tuple[SharedEndpoint, ...]:
        """The endpoints that more than one of its versions has, as their sources say now."""
        return self._shared.get(service, ())

    def known(self) -> Mapping[EndpointSource, KnownEndpoints]:
        """The endpoints of each source as far as they are known, for the next run of the controller."""
        now = self._clock.wall()
        found = dict(self._last_known)
        for source, status in self._statuses.items():
            if status.endpoints is not None:
                found[source] = KnownEndpoints(status.endpoints, status.last_known or status.since or now)
        return {source: each for source, each in found.items() if now - each.at <= OLDEST}

    def on_view(self, view: View) -> None:
        """Watch the sources that this view names, and no others."""
        specs = {name: state.spec for name, state in view.services.items() if _sources_of(state.spec)}
        changed = [name for name, spec in specs.items() if self._specs.get(name) is not spec]
        gone = self._specs.keys() - specs.keys()
        if not changed and not gone:
            return
        self._specs = specs
        wanted = set(chain.from_iterable(map(_sources_of, specs.values())))
        for source in self._tasks.keys() - wanted:
            self._tasks.pop(source).cancel()
            del self._statuses[source]
        for source in sorted(wanted - self._tasks.keys(), key=str):
            self._statuses[source] = self._first_status(source)
            self._tasks[source] = asyncio.create_task(self._follow(source))
        for name in gone:
            self._sourced.pop(name, None)
            self._shared.pop(name, None)
        for name in changed:
            self._combine(name)

    async def first_read(self, within: float = FIRST_READ) -> None:
        """Wait until every source has been read once, or has a problem; so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while any(not each.is_read and not each.problem for each in self._statuses.values()):
                    self._read.clear()
                    await self._read.wait()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """What `on_view` began ends with the block."""
        try:
            yield
        finally:
            if self._timer:
                self._timer.cancel()
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _first_status(self, source: EndpointSource) -> SourceStatus:
        """What is known of a source before it is read."""
        known = self._last_known.get(source)
        if known is None or self._clock.wall() - known.at > OLDEST:
            return SourceStatus(source)
        log.info("last_known_endpoints", source=str(source), endpoints=len(known.endpoints), at=known.at)
        return SourceStatus(source, known.endpoints, last_known=known.at)

    async def _follow(self, source: EndpointSource) -> None:
        while True:
            try:
                async for reading in self._watch(source):
                    self._on_reading(source, reading)
            except Exception as error:  # a defect in reading one source must not end the watch over it for good
                log.exception("source_failed", source=str(source))
                self._on_reading(source, SourceReading(problem=f"an internal error: {type(error).__name__}"))
            await asyncio.sleep(AFTER_DEFECT)

    def _on_reading(self, source: EndpointSource, reading: SourceReading) -> None:
        before = self._statuses[source]
        after = _after(before, reading, self._clock.wall())
        if after == before:
            return
        if after.problem and after.problem != before.problem:
            log.warning("source_unreadable", source=str(source), reason=after.problem)
        elif before.problem and not after.problem:
            log.info("source_readable", source=str(source))
        if after.endpoints != before.endpoints:
            log.info("endpoints_changed", source=str(source), endpoints=len(after.endpoints or ()))
        self._statuses[source] = after
        self._changed.add(source)
        self._read.set()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._published_at + GAP), self._publish)

    def _publish(self) -> None:
        """Let everyone know what has changed since the last time."""
        self._timer, self._published_at = None, asyncio.get_running_loop().time()
        changed, self._changed = self._changed, set()
        services = [name for name, spec in self._specs.items() if not changed.isdisjoint(_sources_of(spec))]
        moved = [self._combine(name) for name in services]
        if services:
            self._on_change(services, any(moved))

    def _combine(self, name: str) -> bool:
        """Note what is known now of a service; whether it has other endpoints."""
        known = {version: each.endpoints for version, each in self.statuses(name).items()}
        read = {version: endpoints for version, endpoints in known.items() if endpoints is not None}
        moved = read != self._sourced.get(name)
        if moved:
            self._sourced[name] = read
        shared = _shared_endpoints(self._specs[name], read)
        if shared != self._shared.get(name, ()):
            if shared:
                log.warning("endpoints_shared", service=name, endpoint=shared[0].address, versions=shared[0].versions)
            self._shared[name] = shared
        return moved

    def _clusters(self) -> list[tuple[str, SourceStatus]]:
        names = ((name, version, each) for name in self._specs for version, each in self.statuses(name).items())
        return [(cluster_name(name, version), each) for name, version, each in names]


@by_identity
def _sources_of(spec: Service) -> frozenset[EndpointSource]:
    return frozenset(version.source for version in spec.versions if version.source)


def _after(before: SourceStatus, reading: SourceReading, now: float) -> SourceStatus:
    """What is known after a reading, at `now` in Unix seconds."""
    if reading.problem:
        return before._replace(problem=reading.problem, since=before.since or now)
    return SourceStatus(before.source, reading.endpoints, note=reading.note)


def _shared_endpoints(spec: Service, read: SourcedVersions) -> tuple[SharedEndpoint, ...]:
    owners: dict[str, list[str]] = {}
    for version in spec.versions:
        for endpoint in read.get(version.name, ()) if version.source else version.endpoints:
            owners.setdefault(str(endpoint), []).append(version.name)
    return tuple(SharedEndpoint(address, tuple(names)) for address, names in owners.items() if len(names) > 1)
