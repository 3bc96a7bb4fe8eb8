"""`haldane demo --ha`: start the cluster, play the acts, print what was observed. No process outlives it."""

import asyncio
import signal

import aiohttp
import grpc
from rich.console import Console

from controller.cli.output import print_json
from controller.demo.display import Display
from controller.demo.environment import NotReady
from controller.demo.ha.acts import ACTS, HaAct
from controller.demo.ha.cluster import Cluster
from controller.demo.ha.etcd_members import EtcdMissing
from controller.demo.ha.observer import HaObserver
from controller.demo.harness.child_processes import ChildDied, Children, children
from controller.demo.harness.envoy_binary import EnvoyMissing
from controller.demo.harness.load_generator import LoadGenerator
from controller.demo.load import held_out_requests
from controller.demo.traffic_observer import NotObserved

TTL = 3
"""Seconds of the lease. The default, 10, would only make everybody wait."""
RATE = 200.0
"""Requests a second through the two Envoys together."""
LIMIT = 240.0
"""Seconds for the acts; they take about a third of it on two quiet cores."""
TERMINATED = 128 + signal.SIGTERM
"""The exit code after SIGTERM, as shells have it."""

FAILURES = (
    *(NotReady, NotObserved, EnvoyMissing, EtcdMissing, ChildDied, TimeoutError),
    *(aiohttp.ClientError, grpc.RpcError),
)
"""What can go wrong without a bug in the demo."""


def run_ha(*, as_json: bool = False) -> int:
    """Run it: 0 if everything was observed, 1 if not."""
    display = Display(Console(stderr=as_json))
    with children() as group:
        try:
            code = asyncio.run(_run(group, display))
        except EtcdMissing as missing:
            display.show(str(missing))
            code = 1
        except FAILURES as error:
            display.show(f"the demo failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            group.keep, code = True, 1
            display.show_logs(group)
        except asyncio.CancelledError:
            return TERMINATED
    if as_json:
        print_json({"ok": code == 0, "acts": display.scenarios})
    return code


async def _run(group: Children, display: Display) -> int:
    this_task = asyncio.current_task()
    assert this_task is not None
    for signum in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signum, this_task.cancel)
    async with aiohttp.ClientSession() as http:
        cluster = Cluster(group, http, TTL)
        await cluster.set_up(display.show)
        load = LoadGenerator(cluster.entry_url, held_out_requests(), rate=RATE)
        acts = await _play(cluster, HaObserver(cluster, load), display)
    display.summary(acts, [load])
    ok = len(acts) == len(ACTS) and all(act.ok for act in acts)
    if not ok:
        group.keep = True
        display.show_logs(group)
    return 0 if ok else 1


async def _play(cluster: Cluster, observer: HaObserver, display: Display) -> list[HaAct]:
    """The acts up to the first in which something was not observed."""
    acts: list[HaAct] = []
    async with asyncio.timeout(LIMIT), observer.observing(LIMIT), display.showing_events(observer.events):
        await observer.until("clients are answered through Envoy", lambda: len(observer.load.results) > RATE, 20)
        for title, play in ACTS:
            act = HaAct(title=title, show=display.show, cluster=cluster, observer=observer)
            acts.append(act)
            display.begin(f"act {len(acts)} of {len(ACTS)}: {title}")
            try:
                await play(act)
            except NotObserved as error:
                act.check(str(error), False)
            if not act.ok:
                break
    return acts
