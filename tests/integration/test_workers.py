"""`serve --workers 2`: two processes at one port, each with a real Envoy; one of them decides."""

import asyncio
import json
import os
import re
import signal

import aiohttp
import pytest

from controller.bootstrap import render
from controller.demo.harness.child_processes import Children
from controller.demo.harness.load_generator import LoadGenerator
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.faults.split_watcher import Split, watched
from tests.support.controller import ControllerProcess
from tests.support.envoy import EnvoyProcess
from tests.support.load import steady
from tests.support.model import Behaviour
from tests.support.process import free_port
from tests.support.system import FLEET, SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(180)]

FIRST, WORKER = "c1", "c1/worker-2"
SETTINGS = {
    "HALDANE_WORKERS": "2",
    "HALDANE_NAME": FIRST,
    "HALDANE_ADMIN_SOCKET": "none",
    "HALDANE_HTTP_SOCKET": "none",
}
POLICY = """\
  steps: [50%]
  dwell: 10m
  warmup: 1s
  bake: 1s
"""
STABLE: Split = {"v1": 10_000}
HALF: Split = {"v1": 5000, "v2": 5000}
TRIES = 30
"""Connections until one comes to the process that it should: the kernel spreads them, so all fail once in 10^9."""


async def test_two_processes_serve_and_one_decides(processes: Children) -> None:
    """What proxies of the worker report is judged, and what is decided reaches the proxies of both. The end of either
    process fails no request, and loses no freeze."""
    async with running_system(processes, policy=POLICY, settings=SETTINGS) as system:
        await place(system, system.envoy, WORKER)
        controller = system.controller
        async with steady(system.entry, 100) as load, watched(system.envoy) as at_worker:
            await harm_is_rolled_back(system)
            await wait_until(lambda: at_worker.splits == [STABLE, HALF, STABLE])
            other = envoy(processes, controller)
            await other.start()
            await place(system, other, FIRST)
            async with watched(other) as at_first:
                await system.start()
                await wait_until(lambda: at_worker.split == at_first.split == HALF)
                await system.stubs.rollouts.Rollback(pb.RollbackRequest(service=SERVICE, reason="test"))
                await wait_until(lambda: at_worker.split == at_first.split == STABLE)
                await system.stubs.killswitch.Freeze(pb.FreezeRequest(services=[SERVICE], reason="test"))
                healthy = len(load.results)
                await the_worker_is_started_again(system)
                await answered(load, 25)
                await the_first_process_is_killed(controller)
                await answered(load, 25)
                await controller.start()
                await wait_until(lambda: in_sync(system, 2))
                assert (await system.rollout()).freezes[0].reason == "test"
                assert [each for each in load.results[healthy:] if not each.ok] == []
                assert at_worker.split == at_first.split == STABLE
        assert controller.stop() == 0
        assert not any(map(alive, worker_pids(controller)))


async def test_a_port_of_another_program_is_not_shared(processes: Children) -> None:
    """A second controller at the port of one with workers does not start, whether or not it has workers."""
    controller = ControllerProcess(processes, SETTINGS)
    await controller.start()
    for workers in ("1", "2"):
        settings = {**SETTINGS, "HALDANE_WORKERS": workers, "HALDANE_XDS_LISTEN": controller.xds}
        second = ControllerProcess(processes, settings, name=f"second-{workers}")
        second.launch()
        assert await asyncio.to_thread(second.child.process.wait, 60) == 1
        assert "is another program using it?" in second.output


def envoy(processes: Children, controller: ControllerProcess) -> EnvoyProcess:
    """A second Envoy, at the same port as the first one: the kernel spreads the clients' connections."""
    page = f"127.0.0.1:{free_port()}"
    return EnvoyProcess(processes, render(fleet=FLEET, node="b", xds=controller.xds, envoy_admin=page), "other")


async def proxies(system: System) -> dict[str, pb.Proxy]:
    """The proxies by the process that they are connected to."""
    told = await system.stubs.fleet.ListProxies(pb.ListProxiesRequest(), wait_for_ready=True)
    return {each.node: each for each in told.proxies}


async def place(system: System, envoy: EnvoyProcess, process: str) -> None:
    """Let the Envoy connect again until it is at that process, by the log, which has that first."""
    is_other = envoy is not system.envoy

    def connected() -> list[bool]:
        """For each connection of it, whether it went to the worker."""
        lines = (json.loads(each) for each in system.controller.output.splitlines() if "proxy_connected" in each)
        return ["worker" in each for each in lines if (each["node"] == "b") == is_other]

    known = 0
    for _ in range(TRIES):
        at = await wait_until(lambda known=known: connected()[known:])
        known += len(at)
        if at[-1] == (process == WORKER):
            return
        envoy.kill()
        await envoy.start()
    pytest.fail(f"no connection came to {process}")


async def harm_is_rolled_back(system: System) -> None:
    """The canary fails, and is rolled back by what came to the worker alone, as the metrics show. Then it is mended."""
    await system.start()
    await system.reach("PROGRESSING")
    system.models["v2"].behaviour = Behaviour(errors=1.0)
    await system.reach("ROLLED_BACK")
    system.models["v2"].behaviour = Behaviour()
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://{system.controller.http}/metrics") as response,
    ):
        text = await response.text()
    counted = re.search(r'haldane_requests_total{[^}]*outcome="5xx"[^}]*version="v2",worker="2"} (\S+)', text)
    assert counted
    assert float(counted[1]) > 0
    assert 'haldane_worker_up{worker="2"} 1.0' in text
    assert len(re.findall("^# TYPE haldane_proxies gauge", text, re.M)) == 1
    served = [float(each) for each in re.findall(r"^haldane_proxies{[^}]*} (\S+)", text, re.M)]
    assert sum(served) == 1


async def the_worker_is_started_again(system: System) -> None:
    """After kill -9 the other process serves its proxy at once, and a new worker is there soon."""
    (before,) = [each for each in worker_pids(system.controller) if alive(each)]
    os.kill(before, signal.SIGKILL)
    await wait_until(lambda: "signal SIGKILL" in system.controller.output)
    await wait_until(lambda: in_sync(system, 2))
    async with aiohttp.ClientSession() as http:

        async def back() -> bool:
            async with http.get(f"http://{system.controller.http}/readyz") as response:
                return response.status == 200 and "workers" not in await response.json()

        await wait_until(back)


async def the_first_process_is_killed(controller: ControllerProcess) -> None:
    """Then the worker ends, too."""
    (worker,) = [each for each in worker_pids(controller) if alive(each)]
    controller.kill()
    await wait_until(lambda: not alive(worker))


async def in_sync(system: System, number: int) -> bool:
    """Whether so many proxies are connected and have what they should."""
    return [each.state for each in (await proxies(system)).values()] == ["SYNCED"] * number


async def answered(load: LoadGenerator, more: int) -> None:
    """Wait for so many responses more."""
    since = len(load.results)
    await wait_until(lambda: len(load.results) >= since + more)


def worker_pids(controller: ControllerProcess) -> list[int]:
    """Of all workers that were ever started."""
    return [int(each) for each in re.findall(r'"pid": (\d+), "event": "worker_started"', controller.output)]


def alive(pid: int) -> bool:
    """Whether that process runs; one that nobody has waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
