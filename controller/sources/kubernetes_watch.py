"""Endpoints from Kubernetes: one list and watch for each namespace, whatever the number of its Services."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator

import structlog

from controller.core.model.endpoint_source import KubernetesSource
from controller.ports.endpoint_sources import SourceReading
from controller.process.backoff import backoff
from controller.process.http_client import Unanswered
from controller.sources.endpoint_slices import EndpointSlice, describe_none, endpoints_of
from controller.sources.kubernetes_api import EndpointSlicesApi, Gone

FIRST, LONGEST = 0.2, 10.0
"""Seconds of the pauses between attempts."""
STEADY = 5.0
"""Seconds after which a watch has lasted: the next attempt after its end is a first one."""
SILENT = 1
"""Failures in a row that are not said: API servers are restarted, and connections are cut, and the next one is there
a moment later."""
MAX_ENDPOINTS = 5000
"""Of one Service."""

log = structlog.get_logger()


class EndpointSliceWatches:
    """Watches the namespaces in which there is a Service to watch."""

    def __init__(self, api: EndpointSlicesApi | None) -> None:
        """Without an `api` every source has that problem."""
        self._api = api
        self._namespaces: dict[str, _Namespace] = {}

    async def watch(self, source: KubernetesSource) -> AsyncIterator[SourceReading]:
        """What the EndpointSlices of the Service say, and each change of it, forever; or why they cannot be read."""
        if self._api is None:
            yield SourceReading(problem="this controller has no API server: it runs outside of Kubernetes")
            await asyncio.Event().wait()
            return
        with self._watched(self._api, source.namespace) as namespace:
            before: SourceReading | None = None
            async for _ in namespace.changes():
                reading = namespace.reading(source)
                if reading and reading != before:
                    yield reading
                    before = reading

    @contextlib.contextmanager
    def _watched(self, api: EndpointSlicesApi, name: str) -> "Iterator[_Namespace]":
        """The namespace, which is watched as long as someone is in this block."""
        namespace = self._namespaces.get(name)
        if namespace is None:
            namespace = self._namespaces[name] = _Namespace(api, name)
        namespace.enter()
        try:
            yield namespace
        finally:
            if namespace.leave():
                del self._namespaces[name]


class _Namespace:
    """What is known of one namespace."""

    def __init__(self, api: EndpointSlicesApi, name: str) -> None:
        self._api = api
        self._name = name
        self._readers = 0
        self._task: asyncio.Task[None] | None = None
        self._slices: dict[str, EndpointSlice] = {}
        self._by_service: dict[str, dict[str, EndpointSlice]] = defaultdict(dict)
        self._version = ""
        """From which the slices are watched; empty: they are to be listed."""
        self._listed = False
        self._problem = ""
        self._changed = asyncio.Event()

    def enter(self) -> None:
        """One more reader."""
        self._readers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self) -> bool:
        """One reader less; whether that was the last."""
        self._readers -= 1
        if not self._readers and self._task:
            self._task.cancel()
        return not self._readers

    async def changes(self) -> AsyncIterator[None]:
        """Once at first, then after each change, many at a time perhaps."""
        while True:
            changed = self._changed
            yield
            await changed.wait()

    def reading(self, source: KubernetesSource) -> SourceReading | None:
        """What is known of a Service; None if nothing is yet."""
        if self._problem:
            return SourceReading(problem=self._problem)
        if not self._listed:
            return None
        slices = self._by_service.get(source.service, {}).values()
        endpoints = endpoints_of(slices, source.port)
        if len(endpoints) > MAX_ENDPOINTS:
            return SourceReading(problem=f"it has {len(endpoints)} endpoints, and {MAX_ENDPOINTS} is the most")
        note = "" if endpoints else describe_none(slices, source.service, source.port)
        return SourceReading(endpoints, note=note)

    async def _run(self) -> None:
        """List and watch, forever."""
        loop, failures, pauses = asyncio.get_running_loop(), 0, backoff(FIRST, LONGEST)
        while True:
            began = loop.time()
            try:
                await self._follow()
                problem = ""
            except Gone:
                self._version, problem = "", ""
            except Unanswered as unanswered:
                problem = str(unanswered)
            except Exception as error:  # a defect must not end the watch for good
                log.exception("watch_failed", namespace=self._name)
                problem = f"an internal error: {type(error).__name__}"
            if loop.time() - began > STEADY:
                failures, pauses = 0, backoff(FIRST, LONGEST)
            failures = failures + 1 if problem else 0
            if problem and (failures > SILENT or not self._listed):
                # What was missed is not known: after an absence all is listed again.
                self._version, self._problem = "", problem
                self._announce()
            await asyncio.sleep(next(pauses))

    async def _follow(self) -> None:
        """List, unless what changed since can be watched, then watch until the server ends it."""
        if not self._version:
            listed = await self._api.list(self._name)
            self._slices, self._by_service = {}, defaultdict(dict)
            self._put(listed.slices)
            self._version, self._listed, self._problem = listed.version, True, ""
            self._announce()
        async with contextlib.aclosing(self._api.watch(self._name, self._version)) as events:
            async for event in events:
                self._version = event.version
                if event.slice:
                    self._take(event.slice.name)
                    self._put(() if event.gone else (event.slice,))
                    self._announce()

    def _put(self, slices: Iterable[EndpointSlice]) -> None:
        for each in slices:
            self._slices[each.name] = each
            self._by_service[each.service][each.name] = each

    def _take(self, name: str) -> None:
        if old := self._slices.pop(name, None):
            del self._by_service[old.service][name]

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
