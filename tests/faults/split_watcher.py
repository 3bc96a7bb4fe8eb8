"""What a real Envoy does while its controller dies: how it splits, as it says itself and as its clients count."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace

import aiohttp

from controller.core.base.units import TOTAL_WEIGHT
from controller.core.model.cluster_names import cluster_parts
from controller.demo.harness.request_result import RequestResult
from tests.support.envoy import EnvoyProcess
from tests.support.waiting import wait_until

Split = Mapping[str, int]
"""Version -> basis points; versions without a share are left out."""

LOOK_EVERY = 0.05
"""Seconds between two looks at Envoy's configuration."""
SIGMAS = 5.0
"""How far a count may be from its mean: a right split fails one check in a million."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A split that Envoy held at every look from `since` to `until` (seconds of `time.monotonic`)."""

    split: Split
    since: float
    until: float


class SplitWatcher:
    """Looks at Envoy's route table all the time, whoever else lives or dies."""

    def __init__(self, envoy: EnvoyProcess) -> None:
        self.sights: list[Sight] = []
        self._url = f"http://127.0.0.1:{envoy.admin}/config_dump?resource=dynamic_route_configs"

    @property
    def split(self) -> Split:
        """The newest one."""
        return self.sights[-1].split

    @property
    def splits(self) -> list[Split]:
        """Every split that was seen, in order; the same one twice only if another was between."""
        return [sight.split for sight in self.sights]

    async def watch(self) -> None:
        """Look, until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                before = time.monotonic()
                async with session.get(self._url) as response:
                    split = read_split(await response.json(content_type=None))
                self._note(split, before, time.monotonic())
                await asyncio.sleep(LOOK_EVERY)

    def _note(self, split: Split, before: float, after: float) -> None:
        if self.sights and self.sights[-1].split == split:
            self.sights[-1] = replace(self.sights[-1], until=before)
        else:
            self.sights.append(Sight(split, after, before))


@contextlib.asynccontextmanager
async def watched(envoy: EnvoyProcess) -> AsyncIterator[SplitWatcher]:
    """Polls Envoy until the end of the block. If it could not be polled, the block fails."""
    watcher = SplitWatcher(envoy)
    looking = asyncio.create_task(watcher.watch())
    try:
        await wait_until(lambda: watcher.sights or looking.done())
        yield watcher
        assert not looking.done(), looking.exception()
    finally:
        looking.cancel()
        await asyncio.wait([looking])


def read_split(dump: Mapping[str, object]) -> Split:
    """The split in Envoy's dump of its route tables, which must hold one service."""
    configs = dump["configs"]
    assert isinstance(configs, list)
    hosts = [host for config in configs for host in config["route_config"]["virtual_hosts"]]
    (action,) = [route["route"] for host in hosts for route in host["routes"]]
    clusters = action.get("weighted_clusters", {}).get("clusters") or [
        {"name": action["cluster"], "weight": TOTAL_WEIGHT}
    ]
    shares = {_version(cluster["name"]): cluster.get("weight", 0) for cluster in clusters}
    assert sum(shares.values()) == TOTAL_WEIGHT
    return {version: share for version, share in shares.items() if share}


def check_counts(sights: Iterable[Sight], answers: Iterable[RequestResult]) -> int:
    """Hold what clients counted against what Envoy said: the number of answers that could be held against it.

    A request sent and answered while Envoy held one split was routed by it.
    """
    given = list(answers)
    held = 0
    for sight in sights:
        within = [a for a in given if sight.since <= a.sent and a.ended <= sight.until]
        held += len(within)
        for version in {a.version for a in within} | set(sight.split):
            share = sight.split.get(version, 0) / TOTAL_WEIGHT
            count, mean = sum(a.version == version for a in within), len(within) * share
            slack = SIGMAS * math.sqrt(mean * (1 - share)) + (1 if 0 < share < 1 else 0)
            assert abs(count - mean) <= slack, f"{version}: {count} of {len(within)} answers at {share:.0%}"
    return held


def _version(cluster: str) -> str:
    parts = cluster_parts(cluster)
    assert parts, f"{cluster} is no cluster of ours"
    return parts.version
