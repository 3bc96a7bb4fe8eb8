"""`haldane demo`: start the environment, run the scenarios, print what was observed."""

import asyncio
import contextlib
from pathlib import Path

import aiohttp
from rich.console import Console

from controller.demo.admin_api import AdminApi
from controller.demo.demo_run import play_acts, run
from controller.demo.display import Display
from controller.demo.environment import HOST, SERVICE, Environment, Ports
from controller.demo.envoy_admin import EnvoyAdmin
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.load import held_out_requests
from controller.demo.scenario_run import ScenarioRun
from controller.demo.scenarios import SCENARIOS
from controller.demo.traffic_observer import TrafficObserver

RATE = 200.0
"""Requests a second: enough evidence for a promotion in half a minute, and little work for two
cores."""
LIMIT = 110.0
"""Seconds for the three scenarios; they take about half of it."""


def run_demo(picture: Path | None = None, *, as_json: bool = False) -> int:
    """Run the demo: 0 if everything was observed, 1 if not.

    `picture`: a file for a picture of it, as SVG.
    """
    display = Display(Console(stderr=as_json), picture)
    return run(lambda group: _play(group, display), display, as_json=as_json)


async def _play(group: Children, display: Display) -> bool:
    async with aiohttp.ClientSession() as http:
        environment = Environment(group, Ports.free(), http)
        await environment.set_up(display.show)
        admin = AdminApi(f"{HOST}:{environment.ports.admin}")
        async with contextlib.aclosing(admin):
            load = LoadGenerator(environment.ports.entry_url, held_out_requests(), rate=RATE)
            envoy = EnvoyAdmin(http, f"{HOST}:{environment.ports.envoy_admin}", SERVICE)
            observer = TrafficObserver(SERVICE, load, envoy, admin, group)
            runs = await _play_all(environment, observer, display)
    display.summary(runs, [load])
    return len(runs) == len(SCENARIOS) and all(run.ok for run in runs)


async def _play_all(environment: Environment, observer: TrafficObserver, display: Display) -> list[ScenarioRun]:
    def make(title: str) -> ScenarioRun:
        return ScenarioRun(
            title=title,
            show=display.show,
            environment=environment,
            observer=observer,
            picture=lambda: display.save_picture(observer),
        )

    async with asyncio.timeout(LIMIT), observer.observing(LIMIT), display.showing(observer):
        await observer.until("clients are answered through Envoy", lambda: len(observer.results) > RATE, 10)
        return await play_acts(SCENARIOS, make, display)
