"""What clients, Envoy and the controller do, observed at once and recorded with times."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from controller.demo.admin_api import AdminApi
from controller.demo.envoy_admin import EnvoyAdmin
from controller.demo.harness.background import background
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.harness.request_result import RequestResult
from controller.demo.measurements import Period, periods
from controller.demo.traffic_split import TrafficSplit, to_monotonic
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.process.periodic import every

POLL_EVERY = 0.1
"""Seconds between two polls of Envoy. A step lasts for seconds, and Envoy reports when it
changed."""
SETTLE = 0.5
"""Seconds after a lost connection until the process behind it is checked: it may have ended."""
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class NotObserved(Exception):  # noqa: N818
    """What should have happened did not happen in time."""


class TrafficObserver:
    """Records of one service: `results` of clients' requests, `splits` at Envoy, `events` in the
    ledger."""

    def __init__(
        self, service: str, load: LoadGenerator, envoy: EnvoyAdmin, admin: AdminApi, children: Children
    ) -> None:
        self.load = load
        self.envoy = envoy
        self.splits: list[TrafficSplit] = []
        self.events: list[pb.Event] = []
        self.rollout = pb.Rollout()
        self.proxies: list[pb.Proxy] = []
        self._service = service
        self._admin = admin
        self._children = children
        self._tasks: Sequence[asyncio.Task[None]] = ()

    @property
    def results(self) -> list[RequestResult]:
        """The result of every request, in order of its end."""
        return self.load.results

    @property
    def weights(self) -> dict[str, int]:
        """The weights at Envoy now."""
        return self.splits[-1].weights if self.splits else {}

    def periods(self, since: float, until: float | None = None) -> list[Period]:
        """The periods between Envoy's changes of weight from that time on, up to `until` (now)."""
        changes = [s for s in self.splits if s.since >= since]
        return periods(changes, until or time.monotonic())

    def event(self, kind: str, after: int) -> pb.Event | None:
        """The first ledger line of that kind with a sequence above `after`."""
        return next((event for event in self.events if event.kind == kind and event.sequence > after), None)

    async def until_event(self, kind: str, after: int, seconds: float, unless: str = "") -> pb.Event:
        """Wait for a ledger line of that kind; raises `NotObserved` at once if one of kind `unless`
        comes."""
        await self.until(
            f"the ledger has a line {kind}",
            lambda: bool(self.event(kind, after) or (unless and self.event(unless, after))),
            seconds,
        )
        event = self.event(kind, after)
        if event is None:
            instead = self.event(unless, after)
            raise NotObserved(f"not {kind} but {unless}: {instead.why if instead else ''}")
        return event

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest line."""
        return self.events[-1].sequence if self.events else 0

    def acknowledged(self) -> float | None:
        """When all proxies had acknowledged the routes that they are to serve; None while one has
        not."""
        types = [t for proxy in self.proxies for t in proxy.types if t.type_url == ROUTES]
        if not types or any(t.state != "SYNCED" for t in types):
            return None
        return to_monotonic(max(t.since for t in types))

    async def until(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until it holds. Raises `NotObserved`, which says `what` did not, or `ChildDied`."""
        deadline = time.monotonic() + seconds
        while not holds():
            await self._check()
            if time.monotonic() > deadline:
                raise NotObserved(f"not within {seconds:g} s: {what}")
            await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def observing(self, seconds: float) -> AsyncIterator[None]:
        """Send the load and observe during the block, for at most that many seconds."""
        async with background(
            self.load.run(seconds),
            self._poll_envoy(),
            self._watch_ledger(),
            self._watch_rollout(),
            self._poll_proxies(),
        ) as self._tasks:
            yield

    async def refresh_proxies(self) -> None:
        """Ask the controller for the state of its proxies."""
        response = await self._admin.call("Fleet/ListProxies", pb.ListProxiesRequest(), pb.ListProxiesResponse)
        self.proxies = list(response.proxies)

    async def _check(self) -> None:
        """Raise `ChildDied` if a process has ended, `NotObserved` if something can no longer be
        observed."""
        self._children.check()
        lost = [error for task in self._tasks if task.done() and (error := task.exception())]
        if lost:
            await asyncio.sleep(SETTLE)
            self._children.check()
            raise NotObserved(f"can no longer be observed: {lost[0]!r}")

    async def _poll_envoy(self) -> None:
        await every(POLL_EVERY, self._read_split)

    async def _read_split(self) -> None:
        split = await self.envoy.split()
        if split and (not self.splits or split.weights != self.splits[-1].weights):
            self.splits.append(split)

    async def _watch_ledger(self) -> None:
        async for event in self._admin.stream("Ledger/WatchEvents", pb.WatchEventsRequest(), pb.Event):
            self.events.append(event)

    async def _watch_rollout(self) -> None:
        request = pb.WatchRolloutRequest(service=self._service)
        async for rollout in self._admin.stream("Rollouts/WatchRollout", request, pb.Rollout):
            self.rollout = rollout

    async def _poll_proxies(self) -> None:
        await every(5 * POLL_EVERY, self.refresh_proxies)
