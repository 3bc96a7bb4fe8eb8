"""What one controller has recorded and queried of a rollout, after it was killed: another one goes on with it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from controller.demo.harness.child_processes import Children
from controller.pb.haldane.admin.v1 import admin_pb2 as pb
from tests.controllers.conftest import TTL, Make
from tests.controllers.test_members import leaders, until
from tests.prometheus.prometheus_server import SETTINGS, Exporter, prometheus, serving
from tests.support.controller import ControllerProcess
from tests.support.load import steady
from tests.support.system import SERVICE, running_system
from tests.support.waiting import answers, wait_until

pytestmark = [pytest.mark.requires("etcd", "prometheus"), pytest.mark.envoy, pytest.mark.timeout(300)]

POLICY = """\
  steps: [50%]
  dwell: 5m
  warmup: 1s
  bake: 1s
  latency: {tolerance: 100%}
  metrics: [{name: accuracy, margin: 2%}]
"""
GAP = 5.0
"""Seconds of a recording that a crash costs at most, in seconds of observation."""
PATIENT_TTL = 8
"""Seconds of the lease: a busy machine must not end the first term before the test does."""
MANY, FEW, WRONG = (0, 400), (0, 40), (20, 40)
"""What a version gains at each scrape: wrong answers, and labelled ones."""


@dataclass
class Way:
    """The way of one controller to Prometheus, and how often it asked."""

    target: str
    session: aiohttp.ClientSession
    asked: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As Prometheus does."""
        self.asked += 1
        async with self.session.get(f"{self.target}{request.path_qs}") as response:
            return web.Response(status=response.status, text=await response.text(), content_type="application/json")


@asynccontextmanager
async def asked_by(controllers: list[ControllerProcess], target: str) -> AsyncIterator[list[Way]]:
    """Controllers that reach Prometheus by ways of their own."""
    async with aiohttp.ClientSession() as session:
        ways = [Way(target, session) for _ in controllers]
        async with serving(ways[0].answer) as one, serving(ways[1].answer) as two:
            for each, address in zip(controllers, (one, two), strict=True):
                each.environment["HALDANE_PROMETHEUS"] = address
            yield ways


async def recording(asked: ControllerProcess) -> pb.Recording:
    """That of the rollout, as that controller shows it."""
    async with asked.stubs() as stubs:
        events = (await stubs.ledger.ListEvents(pb.ListEventsRequest(service=SERVICE), wait_for_ready=True)).events
        (start,) = (event for event in events if event.kind == "rollout_started")
        told: pb.Recording = await stubs.ledger.GetRecording(pb.GetRecordingRequest(sequence=start.sequence))
    return told


async def labelled(asked: ControllerProcess) -> int:
    """How many of the canary's labels are part of the proof of no harm."""
    async with asked.stubs() as stubs:
        request = pb.ExplainRolloutRequest(service=SERVICE)
        explained = await stubs.rollouts.ExplainRollout(request, wait_for_ready=True)
    return sum(gate.canary_n for gate in explained.gates if gate.channel == "accuracy")


def gap(told: pb.Recording) -> float:
    """The longest time between two windows."""
    ends = [0.0, *(window.until for window in told.windows)]
    return max(window.since - end for window, end in zip(told.windows, ends, strict=False))


async def test_a_successor_goes_on_with_the_recording_and_the_custom_metrics(
    processes: Children, controller: Make, tmp_path: Path
) -> None:
    """The recording has no gap longer than what a crash costs of the evidence, read from either controller; one of them
    asks Prometheus, and what its metric has shown counts on, up to the verdict."""
    first, second = controller("one"), controller("two")
    exporter = Exporter(SERVICE, each={"v1": MANY, "v2": MANY})
    async with serving(exporter.answer) as target:
        server, address = prometheus(processes, tmp_path, target)
        server.launch()
        await wait_until(lambda: answers(f"{address}/-/ready"))
        async with asked_by([first, second], address) as ways:
            with (tmp_path / "settings.toml").open("r+") as settings:
                own = settings.read()
                settings.seek(0)
                settings.write(SETTINGS.format(address=address) + own.replace(f"ttl = {TTL}", f"ttl = {PATIENT_TTL}"))
            await first.start()
            await until(first, lambda every: leaders(every) == ["one"])
            async with (
                running_system(processes, policy=POLICY, controller=second) as system,
                steady(system.entry, 50, timeout=5.0),
            ):
                await system.start()
                await system.reach("PROGRESSING")
                await wait_until(lambda: _reached(first, 2000))
                before = await recording(second)  # that of the store: memory has the leader alone
                assert len(before.windows) > 0
                assert gap(before) <= GAP
                assert (ways[0].asked > 0, ways[1].asked) == (True, 0)

                first.kill()
                killed = time.time()
                asked, many = ways[0].asked, exporter.labelled["v2"]
                exporter.each = {"v1": FEW, "v2": FEW}
                await until(second, lambda every: leaders(every) == ["two"], PATIENT_TTL + 10)
                exporter.each["v2"] = WRONG
                told = await system.reach("ROLLED_BACK")
                assert "accuracy" in told.phase_reason
                assert await labelled(second) > exporter.labelled["v2"] - many  # which it may have read itself
                assert (ways[0].asked, ways[1].asked > 0) == (asked, True)
            await first.start()
            for each in (first, second):
                found = await wait_until(lambda each=each: _since(each, killed))
                assert gap(found) <= GAP
                assert found.windows[0] == before.windows[0]
                assert sum(len(window.custom) for window in found.windows) > 0


async def _reached(asked: ControllerProcess, labels: int) -> bool:
    return await labelled(asked) >= labels


async def _since(asked: ControllerProcess, moment: float) -> pb.Recording | None:
    """The recording, once it has what came after that moment."""
    told = await recording(asked)
    return told if told.windows and told.windows[-1].at > moment else None
