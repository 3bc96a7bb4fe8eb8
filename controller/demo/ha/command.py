"""`haldane demo --ha`: start the cluster, play the acts, print what was observed."""

import asyncio

import aiohttp
from rich.console import Console

from controller.demo.demo_run import play_acts, run
from controller.demo.display import Display
from controller.demo.ha.acts import ACTS, HaAct
from controller.demo.ha.cluster import Cluster
from controller.demo.ha.observer import HaObserver
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.load import held_out_requests

TTL = 3
"""Seconds of the lease. The default, 10, would only make everybody wait."""
RATE = 200.0
"""Requests a second through the two Envoys together."""
LIMIT = 240.0
"""Seconds for the acts; they take about a third of it on two quiet cores."""


def run_ha(*, as_json: bool = False) -> int:
    """Run it: 0 if everything was observed, 1 if not."""
    display = Display(Console(stderr=as_json))
    return run(lambda group: _play(group, display), display, as_json=as_json)


async def _play(group: Children, display: Display) -> bool:
    async with aiohttp.ClientSession() as http:
        cluster = Cluster(group, http, TTL)
        await cluster.set_up(display.show)
        load = LoadGenerator(cluster.entry_url, held_out_requests(), rate=RATE)
        acts = await _play_all(cluster, HaObserver(cluster, load), display)
    display.summary(acts, [load])
    return len(acts) == len(ACTS) and all(act.ok for act in acts)


async def _play_all(cluster: Cluster, observer: HaObserver, display: Display) -> list[HaAct]:
    def make(title: str) -> HaAct:
        return HaAct(title=title, show=display.show, cluster=cluster, observer=observer)

    async with asyncio.timeout(LIMIT), observer.observing(LIMIT), display.showing_events(observer.events):
        await observer.until("clients are answered through Envoy", lambda: len(observer.load.results) > RATE, 20)
        return await play_acts(ACTS, make, display)
