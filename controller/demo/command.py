"""`haldane demo`: start the environment, run the scenarios, print what was observed.

No process outlives it.
"""

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp
import grpc
from rich.console import Console

from controller.cli.output import print_json
from controller.demo.admin_api import AdminApi
from controller.demo.display import Display
from controller.demo.environment import HOST, SERVICE, Environment, NotReady, Ports
from controller.demo.envoy_admin import EnvoyAdmin
from controller.demo.harness.child_processes import ChildDied, Children, children
from controller.demo.harness.envoy_binary import EnvoyMissing
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.load import held_out_requests
from controller.demo.scenario_run import ScenarioRun
from controller.demo.scenarios import SCENARIOS
from controller.demo.traffic_observer import NotObserved, TrafficObserver

RATE = 200.0
"""Requests a second: enough evidence for a promotion in half a minute, and little work for two
cores."""
LIMIT = 110.0
"""Seconds for the three scenarios; they take about half of it."""
TERMINATED = 128 + signal.SIGTERM
"""The exit code after SIGTERM, as shells have it."""

FAILURES = (NotReady, NotObserved, EnvoyMissing, ChildDied, TimeoutError, aiohttp.ClientError, grpc.RpcError)
"""What can go wrong without a bug in the demo."""


def run_demo(picture: Path | None = None, *, as_json: bool = False) -> int:
    """Run the demo: 0 if everything was observed, 1 if not.

    `picture`: a file for a picture of it, as SVG.
    """
    display = Display(Console(stderr=as_json), picture)
    with children() as group:
        try:
            code = asyncio.run(_run(group, display))
        except FAILURES as error:
            display.show(f"the demo failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            code = 1
        except asyncio.CancelledError:
            return TERMINATED
        group.keep = code != 0
        if group.keep:
            display.show_logs(group)
    if as_json:
        print_json({"ok": code == 0, "acts": display.scenarios})
    return code


async def _run(group: Children, display: Display) -> int:
    this_task = asyncio.current_task()
    assert this_task is not None
    for signum in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, this_task.cancel)
    async with aiohttp.ClientSession() as http:
        environment = Environment(group, Ports.free(), http)
        await environment.set_up(display.show)
        admin = AdminApi(f"{HOST}:{environment.ports.admin}")
        async with contextlib.aclosing(admin):
            load = LoadGenerator(environment.ports.entry_url, held_out_requests(), rate=RATE)
            envoy = EnvoyAdmin(http, f"{HOST}:{environment.ports.envoy_admin}", SERVICE)
            observer = TrafficObserver(SERVICE, load, envoy, admin, group)
            runs = await _run_all(environment, observer, display)
    display.summary(runs, [load])
    return 0 if len(runs) == len(SCENARIOS) and all(run.ok for run in runs) else 1


async def _run_all(environment: Environment, observer: TrafficObserver, display: Display) -> list[ScenarioRun]:
    """The scenarios up to the first in which something was not observed."""
    runs: list[ScenarioRun] = []
    async with asyncio.timeout(LIMIT), observer.observing(LIMIT), display.showing(observer):
        await observer.until("clients are answered through Envoy", lambda: len(observer.results) > RATE, 10)
        for title, scenario in SCENARIOS:
            run = ScenarioRun(
                title=title,
                show=display.show,
                environment=environment,
                observer=observer,
                picture=lambda: display.save_picture(observer),
            )
            runs.append(run)
            display.begin(f"act {len(runs)} of {len(SCENARIOS)}: {title}")
            try:
                await scenario(run)
            except NotObserved as error:
                run.check(str(error), False)
            if not run.ok:
                break
    return runs
