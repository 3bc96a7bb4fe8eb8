"""The whole with a real Prometheus: controller, Envoy, model servers, and labels and a queue that it scrapes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.demo.harness.child_processes import Children
from tests.prometheus.prometheus_server import NEEDED, SETTINGS, Exporter, prometheus, serving
from tests.support.load import steady
from tests.support.process import Process
from tests.support.system import SERVICE, System, running_system
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.envoy, NEEDED]

QUEUE = """\
[metrics.queue]
kind = "gauge"
value = 'max(queue_depth{service="{service}",version="{version}"})'
"""
POLICY = """\
  steps: [50%]
  dwell: 1s
  warmup: 1s
  bake: 600s
  confidence: 80%
  errors: {margin: 5%}
  latency: {tolerance: 100%}
  metrics: [{name: accuracy, margin: 5%}, {name: queue, margin: 50%}]
"""


@dataclass
class Scene:
    """Everything that runs."""

    system: System
    exporter: Exporter
    prometheus: Process

    async def says(self, text: str) -> bool:
        """Whether the rollout's reasons hold this."""
        return any(text in reason for reason in (await self.system.rollout()).reasons)


@pytest.fixture
async def scene(processes: Children, tmp_path: Path) -> AsyncIterator[Scene]:
    """A service that is judged by labels and a queue too; both versions are well."""
    exporter = Exporter(SERVICE, queue={"v1": 4.0, "v2": 4.0}, each={"v1": (5, 100), "v2": (5, 100)})
    settings = tmp_path / "haldane.toml"
    async with serving(exporter.answer) as target:
        server, address = prometheus(processes, tmp_path, target)
        server.launch()
        settings.write_text(SETTINGS.format(address=address) + QUEUE)
        async with (
            running_system(processes, policy=POLICY, settings={"HALDANE_CONFIG": str(settings)}) as system,
            steady(system.entry, 100, timeout=5.0),
        ):
            yield Scene(system, exporter, server)


@pytest.mark.proves("fault 17", "track-record 19")
async def test_a_prometheus_that_is_away_holds_and_back_again_it_goes_on(scene: Scene) -> None:
    """Killed: unknown, with the reason wherever one looks. Started again: promoted. Bad in the bake: rolled back, and
    judged again by the same policy it is rolled back at the same second."""
    system, exporter = scene.system, scene.exporter
    scene.prometheus.kill()
    await system.start()
    await wait_until(lambda: scene.says("accuracy is unknown: of v2: Prometheus cannot be asked"), 60.0)
    explained = await system.haldane("explain", SERVICE)
    assert "queue is unknown: of v2: Prometheus cannot be asked (Connection refused)" in explained.out
    assert "accuracy is unknown" in (await system.haldane("get", SERVICE)).out
    assert (await system.rollout()).weights["v2"] == 5000
    scene.prometheus.launch()
    await system.reach("BAKING", 120.0)
    exporter.each = {"v1": (5, 100), "v2": (40, 100)}
    told = await system.reach("ROLLED_BACK", 120.0)
    assert "accuracy: canary" in told.phase_reason
    assert "stable's past" not in told.phase_reason, "its holdback is the control"
    line = next(event for event in await system.events() if event.kind == "rollback")
    policy = scene.prometheus.child.log.parent / "same.yaml"
    policy.write_text(system.file())
    again = (await system.haldane("backtest", "--from", str(line.sequence), "-f", str(policy), "-o", "json")).document
    assert (again["fired"], again["channel"], again["left_out"]) == (True, "accuracy", [])
    assert abs(again["fired_at"] - line.at) < 1.0
    explained = await system.haldane("explain", SERVICE)
    assert "decided" in explained.out


async def test_a_long_queue_takes_a_canary_back(scene: Scene) -> None:
    """What only a gauge tells: three of five readings, and the ledger names it with its values."""
    scene.exporter.queue = {"v1": 4.0, "v2": 40.0}
    await scene.system.start()
    told = await scene.system.reach("ROLLED_BACK", 120.0)
    assert "queue: canary 40, stable 4; worse by more than 50 %" in told.phase_reason
    document = (await scene.system.haldane("explain", SERVICE, "-o", "json")).document
    assert document["decided"] == "queue"
    assert max(point["worse"].get("queue", 0) for point in document["history"]) == 3
