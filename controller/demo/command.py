"""`haldane demo`: set the stage, play the acts, tell what was seen. Whatever happens, no process stays behind."""

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp
import grpc
from rich.console import Console

from controller.cli.output import print_json
from controller.demo.display import Display
from controller.demo.doors import AdminApi, EnvoyAdmin
from controller.demo.environment import HOST, SERVICE, Environment, NotReady, Ports
from controller.demo.harness.child_processes import ChildDied, Children, children
from controller.demo.load import LoadGenerator, real_inputs
from controller.demo.scenarios import ACTS, ScenarioRun
from controller.demo.traffic_observer import NotSeen, TrafficObserver

RATE = 200.0
"""Requests a second: enough evidence for a promotion in half a minute, and little work for two cores."""
LIMIT = 110.0
"""Seconds for the three acts; they take about half of it."""
ENDED = 128 + signal.SIGTERM
"""The exit code after SIGTERM, as shells have it."""


def run_demo(picture: Path | None = None, *, as_json: bool = False) -> int:
    """Run the demo: 0 if all was seen to happen, 1 if not. `picture`: where to keep a picture of it, as SVG."""
    display = Display(Console(stderr=as_json), picture)
    with children() as group:
        try:
            code = asyncio.run(_perform(group, display))
        except (NotReady, NotSeen, ChildDied, TimeoutError, aiohttp.ClientError, grpc.RpcError) as error:
            display.say(f"the demo failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            code = 1
        except asyncio.CancelledError:
            return ENDED
        group.keep = code != 0
        if group.keep:
            display.show_logs(group)
    if as_json:
        print_json({"ok": code == 0, "acts": display.acts})
    return code


async def _perform(group: Children, display: Display) -> int:
    me = asyncio.current_task()
    assert me is not None
    for signum in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, me.cancel)
    async with aiohttp.ClientSession() as http:
        stage = Environment(group, Ports.free(), http)
        await stage.set_up(display.say)
        admin = AdminApi(f"{HOST}:{stage.places.admin}")
        async with contextlib.aclosing(admin):
            load = LoadGenerator(stage.places.entry_url, real_inputs(), rate=RATE)
            envoy = EnvoyAdmin(http, f"{HOST}:{stage.places.envoy_admin}", SERVICE)
            witness = TrafficObserver(SERVICE, load, envoy, admin, group)
            plays = await _play_all(stage, witness, display)
    display.summary(plays, witness)
    return 0 if len(plays) == len(ACTS) and all(play.ok for play in plays) else 1


async def _play_all(stage: Environment, witness: TrafficObserver, display: Display) -> list[ScenarioRun]:
    """The acts up to the first in which something was not seen."""
    plays: list[ScenarioRun] = []
    async with asyncio.timeout(LIMIT), witness.watching(LIMIT), display.showing(witness):
        await witness.until("clients are answered through Envoy", lambda: len(witness.answers) > RATE, 10)
        for title, act in ACTS:
            play = ScenarioRun(title, stage, witness, display.say, lambda: display.keep_picture(witness))
            plays.append(play)
            display.open(f"act {len(plays)} of {len(ACTS)}: {title}")
            try:
                await act(play)
            except NotSeen as unseen:
                play.check(str(unseen), False)
            if not play.ok:
                break
    return plays
