"""The witness: watches clients, Envoy and the controller at once, and remembers what it saw and when."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from controller.demo.doors import AdminApi, EnvoyAdmin, TrafficSplit, monotonic_of
from controller.demo.harness.child_processes import Children
from controller.demo.load import Answer, LoadGenerator
from controller.demo.measurements import Period, periods
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.process.periodic import every

LOOK_EVERY = 0.1
"""Seconds between two looks at Envoy. A step lasts for seconds, and Envoy itself tells when it changed."""
SETTLE = 0.5
"""Seconds after a lost connection in which the process behind it shows whether it has ended."""
ROUTES = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


class NotSeen(Exception):  # noqa: N818
    """What should have happened did not, in its time."""


class TrafficObserver:
    """What was seen of one service: `answers` by clients, `served` by Envoy, `lines` in the ledger."""

    def __init__(
        self, service: str, load: LoadGenerator, envoy: EnvoyAdmin, admin: AdminApi, children: Children
    ) -> None:
        self.load = load
        self.envoy = envoy
        self.served: list[TrafficSplit] = []
        self.lines: list[pb.Event] = []
        self.rollout = pb.Rollout()
        self.proxies: list[pb.Proxy] = []
        self._service = service
        self._admin = admin
        self._children = children
        self._watches: list[asyncio.Future[None]] = []

    @property
    def answers(self) -> list[Answer]:
        """Every answer that clients got, in order."""
        return self.load.answers

    @property
    def weights(self) -> dict[str, int]:
        """The weights at Envoy now."""
        return self.served[-1].weights if self.served else {}

    def periods(self, since: float, until: float | None = None) -> list[Period]:
        """The periods between Envoy's changes of weight from that time on, up to `until` (now)."""
        changes = [s for s in self.served if s.since >= since]
        return periods(changes, until or time.monotonic())

    def line(self, kind: str, after: int) -> pb.Event | None:
        """The first ledger line of that kind with a sequence above `after`."""
        return next((line for line in self.lines if line.kind == kind and line.sequence > after), None)

    async def until_line(self, kind: str, after: int, seconds: float, unless: str = "") -> pb.Event:
        """Wait for a ledger line of that kind; NotSeen at once if one of the kind `unless` comes instead."""
        await self.until(
            f"the ledger says {kind}",
            lambda: bool(self.line(kind, after) or (unless and self.line(unless, after))),
            seconds,
        )
        line = self.line(kind, after)
        if line is None:
            instead = self.line(unless, after)
            raise NotSeen(f"not {kind} but {unless}: {instead.why if instead else ''}")
        return line

    @property
    def last_line(self) -> int:
        """The sequence of the newest line."""
        return self.lines[-1].sequence if self.lines else 0

    def acknowledged(self) -> float | None:
        """When all proxies had acknowledged the routes that they are to serve; None while one has not."""
        types = [t for proxy in self.proxies for t in proxy.types if t.type_url == ROUTES]
        if not types or any(t.state != "SYNCED" for t in types):
            return None
        return monotonic_of(max(t.since for t in types))

    async def until(self, what: str, seen: Callable[[], bool], seconds: float) -> None:
        """Wait until it is seen. NotSeen says what was not; ChildDied which process ended."""
        deadline = time.monotonic() + seconds
        while not seen():
            await self._check()
            if time.monotonic() > deadline:
                raise NotSeen(f"not within {seconds:g} s: {what}")
            await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def watching(self, seconds: float) -> AsyncIterator[None]:
        """LoadGenerator and watch during the block, for at most that long."""
        watches = (self.load.run(seconds), self._envoy(), self._ledger(), self._rollout(), self._proxies())
        self._watches = [asyncio.ensure_future(watch) for watch in watches]
        try:
            yield
        finally:
            for watch in self._watches:
                watch.cancel()
            await asyncio.gather(*self._watches, return_exceptions=True)

    async def look_at_proxies(self) -> None:
        """Ask the controller how far its proxies are."""
        answer = await self._admin.ask("Fleet/ListProxies", pb.ListProxiesRequest(), pb.ListProxiesResponse)
        self.proxies = list(answer.proxies)

    async def _check(self) -> None:
        """Raise ChildDied if a process has ended, NotSeen if something cannot be watched any more."""
        self._children.check()
        lost = [error for watch in self._watches if watch.done() and (error := watch.exception())]
        if lost:
            await asyncio.sleep(SETTLE)
            self._children.check()
            raise NotSeen(f"cannot be watched any more: {lost[0]!r}")

    async def _envoy(self) -> None:
        await every(LOOK_EVERY, self._look_at_envoy)

    async def _look_at_envoy(self) -> None:
        served = await self.envoy.served()
        if served and (not self.served or served.weights != self.served[-1].weights):
            self.served.append(served)

    async def _ledger(self) -> None:
        async for line in self._admin.follow("Ledger/WatchEvents", pb.WatchEventsRequest(), pb.Event):
            self.lines.append(line)

    async def _rollout(self) -> None:
        request = pb.WatchRolloutRequest(service=self._service)
        async for rollout in self._admin.follow("Rollouts/WatchRollout", request, pb.Rollout):
            self.rollout = rollout

    async def _proxies(self) -> None:
        await every(5 * LOOK_EVERY, self.look_at_proxies)
