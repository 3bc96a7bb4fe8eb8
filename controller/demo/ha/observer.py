"""What clients, both Envoys and the ledger show, whichever controllers run."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import grpc.aio

from controller.demo.admin_api import AdminApi
from controller.demo.environment import SERVICE
from controller.demo.envoy_admin import EnvoyAdmin
from controller.demo.ha.cluster import Cluster, Replica
from controller.demo.harness.background import background
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.measurements import Period, periods
from controller.demo.traffic_observer import NotObserved
from controller.demo.traffic_split import TrafficSplit
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from controller.process.periodic import every

POLL_EVERY = 0.1
"""Seconds between two looks at an Envoy, at the ledger and at who decides."""


class HaObserver:
    """Records: `splits` of each Envoy, `events` of the ledger, and who is known to decide."""

    def __init__(self, cluster: Cluster, load: LoadGenerator) -> None:
        self.cluster = cluster
        self.load = load
        self.events: list[pb.Event] = []
        self.splits: dict[str, list[TrafficSplit]] = {each.name: [] for each in cluster.envoys}
        self._leader = ""
        self._apis = {each.name: AdminApi(each.admin) for each in cluster.controllers}

    @property
    def leader(self) -> Replica | None:
        """The running controller that decides; None if none is known to."""
        return next((each for each in self.cluster.running if each.name == self._leader), None)

    @property
    def followers(self) -> list[Replica]:
        """The running controllers that do not decide."""
        return [each for each in self.cluster.running if each.name != self._leader]

    @property
    def last_sequence(self) -> int:
        """Of the newest line."""
        return self.events[-1].sequence if self.events else 0

    def weights(self) -> list[dict[str, int]]:
        """Of each Envoy, now."""
        return [splits[-1].weights if splits else {} for splits in self.splits.values()]

    def served(self, envoy: str, since: float) -> list[Period]:
        """The weights that an Envoy served from then on, period by period."""
        return periods([each for each in self.splits[envoy] if each.since >= since], time.monotonic())

    def event(self, kind: str, after: int) -> pb.Event | None:
        """The first line of that kind with a sequence above `after`."""
        return next((event for event in self.events if event.kind == kind and event.sequence > after), None)

    async def until_event(self, kind: str, after: int, seconds: float) -> pb.Event:
        """Wait for a line of that kind. Raises `NotObserved`."""
        await self.until(f"the ledger has a line {kind}", lambda: self.event(kind, after) is not None, seconds)
        event = self.event(kind, after)
        assert event is not None
        return event

    async def until(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until it holds. Raises `NotObserved`, which says what did not, or `ChildDied`."""
        deadline = time.monotonic() + seconds
        while not holds():
            self.cluster.check()
            if time.monotonic() > deadline:
                raise NotObserved(f"not within {seconds:g} s: {what}")
            await asyncio.sleep(0.02)

    async def until_leader(self, seconds: float, other_than: str = "") -> Replica:
        """Wait until a controller decides. Raises `NotObserved`."""
        await self.until(
            "a controller decides", lambda: self.leader is not None and self._leader != other_than, seconds
        )
        assert self.leader is not None
        return self.leader

    def api(self, replica: Replica) -> AdminApi:
        """The admin API of a controller."""
        return self._apis[replica.name]

    @contextlib.asynccontextmanager
    async def observing(self, seconds: float) -> AsyncIterator[None]:
        """Send the load and observe during the block, for at most that many seconds."""
        http = self.cluster.http
        polls = [self._poll_envoy(each.name, EnvoyAdmin(http, each.admin, SERVICE)) for each in self.cluster.envoys]
        try:
            async with background(self.load.run(seconds), *polls, every(POLL_EVERY, self._poll_controllers)):
                yield
        finally:
            for api in self._apis.values():
                await api.aclose()

    async def _poll_envoy(self, name: str, envoy: EnvoyAdmin) -> None:
        seen = self.splits[name]

        async def look() -> None:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                split = await envoy.split()
                if split and (not seen or split.weights != seen[-1].weights):
                    seen.append(split)

        await every(POLL_EVERY, look)

    async def _poll_controllers(self) -> None:
        """Ask one that runs who decides and what is new in the ledger; the next one if it does not answer."""
        for replica in self.cluster.running:
            api = self._apis[replica.name]
            try:
                async with asyncio.timeout(2):
                    listed = await api.call(
                        "Controllers/ListControllers", pb.ListControllersRequest(), pb.ListControllersResponse
                    )
                    new = await api.call(
                        "Ledger/ListEvents", pb.ListEventsRequest(after=self.last_sequence), pb.ListEventsResponse
                    )
            except (grpc.RpcError, TimeoutError):
                continue
            if not listed.store_problem:
                self._leader = next((each.name for each in listed.controllers if each.leader), "")
            self.events += new.events
            return
